rule encode_recording:
    input:
        recording=OUT + "/recordings/{recording}.h5",
        activations=of_group("activations"),
    output:
        OUT + "/tables/parts/encoding/{recording}.csv",
    log:
        OUT + "/logs/encode_recording/{recording}.log",
    benchmark:
        OUT + "/benchmarks/encode_recording/{recording}.tsv"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        group=lambda w: STUDY.shown_to(w.recording),
        members=lambda w: GROUPS.get(STUDY.shown_to(w.recording), []),
        encoding=STUDY.encoding.model_dump(mode="json"),
        code=code("encode_recording.py"),
    conda:
        ENV
    message:
        "Predict recording {wildcards.recording} from networks (encoding)"
    script:
        "../scripts/encode_recording.py"
