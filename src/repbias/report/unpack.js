// Figures are compressed: else a page has many megabytes.
for (const image of document.querySelectorAll("img[data-svgz]")) {
  const packed = Uint8Array.from(atob(image.dataset.svgz), (letter) => letter.charCodeAt(0));
  const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  new Response(unpacked).arrayBuffer().then((svg) => {
    image.src = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
    image.removeAttribute("data-svgz");
  });
}
