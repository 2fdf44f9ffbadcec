rule generate_stimuli:
    output:
        "results/{study}/stimuli/{experiment}/{condition}.h5",
    log:
        "results/{study}/logs/generate_stimuli/{experiment}/{condition}.log",
    benchmark:
        "results/{study}/benchmarks/generate_stimuli/{experiment}/{condition}.tsv"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        stimuli=settings("stimuli"),
        code=code("generate_stimuli.py"),
    message:
        "Generate stimuli for {wildcards.experiment}/{wildcards.condition}"
    script:
        "../scripts/generate_stimuli.py"
