rule encode_recording:
    input:
        recording="results/{study}/recordings/{recording}.h5",
        activations=of_group("activations"),
    output:
        "results/{study}/tables/parts/encoding/{recording}.csv",
    log:
        "results/{study}/logs/encode_recording/{recording}.log",
    benchmark:
        "results/{study}/benchmarks/encode_recording/{recording}.tsv"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        group=lambda w: STUDY.shown_to(w.recording),
        members=lambda w: GROUPS.get(STUDY.shown_to(w.recording), []),
        encoding=STUDY.encoding.model_dump(mode="json"),
        code=code("encode_recording.py"),
    message:
        "Predict recording {wildcards.recording} from networks (encoding)"
    script:
        "../scripts/encode_recording.py"
