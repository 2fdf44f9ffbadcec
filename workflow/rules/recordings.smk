rule read_recording:
    input:
        file=lambda w: str(STUDY.recordings[w.recording].path),
        images=lambda w: str(STUDY.images[STUDY.shown_to(w.recording)].path),
    output:
        OUT + "/recordings/{recording}.h5",
    log:
        OUT + "/logs/read_recording/{recording}.log",
    benchmark:
        OUT + "/benchmarks/read_recording/{recording}.tsv"
    wildcard_constraints:
        recording=names(STUDY.recordings.keys() - STUDY.simulated().keys()),
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        recording=lambda w: STUDY.recordings[w.recording].model_dump(mode="json"),
        images=lambda w: STUDY.images[STUDY.shown_to(w.recording)].model_dump(mode="json"),
        code=code("read_recording.py"),
    conda:
        ENV
    message:
        "Read recording {wildcards.recording}"
    script:
        "../scripts/read_recording.py"


rule simulate_recording:
    input:
        lambda w: f"{OUT}/activations/{STUDY.recordings[w.recording].source}.h5",
    output:
        OUT + "/recordings/{recording}.h5",
    log:
        OUT + "/logs/simulate_recording/{recording}.log",
    benchmark:
        OUT + "/benchmarks/simulate_recording/{recording}.tsv"
    wildcard_constraints:
        recording=names(STUDY.simulated()),
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        recording=lambda w: STUDY.recordings[w.recording].model_dump(mode="json"),
        code=code("simulate_recording.py"),
    conda:
        ENV
    message:
        "Simulate recording {wildcards.recording}"
    script:
        "../scripts/simulate_recording.py"


rule reliability:
    input:
        OUT + "/recordings/{recording}.h5",
    output:
        OUT + "/tables/parts/reliability/{recording}.csv",
    log:
        OUT + "/logs/reliability/{recording}.log",
    benchmark:
        OUT + "/benchmarks/reliability/{recording}.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code("reliability.py"),
    conda:
        ENV
    message:
        "Estimate the reliability of {wildcards.recording}"
    script:
        "../scripts/reliability.py"
