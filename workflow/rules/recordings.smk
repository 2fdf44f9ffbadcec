rule read_recording:
    input:
        recording=lambda w: STUDY.recordings[w.recording].input_files(),
        images=lambda w: STUDY.images[STUDY.shown_to(w.recording)].input_files(),
    output:
        "results/{study}/recordings/{recording}.h5",
    log:
        "results/{study}/logs/read_recording/{recording}.log",
    benchmark:
        "results/{study}/benchmarks/read_recording/{recording}.tsv"
    wildcard_constraints:
        recording=names(STUDY.recordings.keys() - STUDY.simulated().keys()),
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        recording=lambda w: STUDY.recordings[w.recording].model_dump(mode="json"),
        images=lambda w: STUDY.images[STUDY.shown_to(w.recording)].model_dump(mode="json"),
        code=code("read_recording.py"),
    message:
        "Read recording {wildcards.recording}"
    script:
        "../scripts/read_recording.py"


rule simulate_recording:
    input:
        lambda w: f"results/{w.study}/activations/{STUDY.recordings[w.recording].source}.h5",
    output:
        "results/{study}/recordings/{recording}.h5",
    log:
        "results/{study}/logs/simulate_recording/{recording}.log",
    benchmark:
        "results/{study}/benchmarks/simulate_recording/{recording}.tsv"
    wildcard_constraints:
        recording=names(STUDY.simulated()),
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        recording=lambda w: STUDY.recordings[w.recording].model_dump(mode="json"),
        code=code("simulate_recording.py"),
    message:
        "Simulate recording {wildcards.recording}"
    script:
        "../scripts/simulate_recording.py"


rule reliability:
    input:
        "results/{study}/recordings/{recording}.h5",
    output:
        "results/{study}/tables/parts/reliability/{recording}.csv",
    log:
        "results/{study}/logs/reliability/{recording}.log",
    benchmark:
        "results/{study}/benchmarks/reliability/{recording}.tsv"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code("reliability.py"),
    message:
        "Estimate the reliability of {wildcards.recording}"
    script:
        "../scripts/reliability.py"
