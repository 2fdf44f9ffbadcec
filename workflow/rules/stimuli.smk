rule generate_stimuli:
    output:
        OUT + "/stimuli/{experiment}/{condition}.h5",
    log:
        OUT + "/logs/generate_stimuli/{experiment}/{condition}.log",
    benchmark:
        OUT + "/benchmarks/generate_stimuli/{experiment}/{condition}.tsv"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        stimuli=settings("stimuli"),
        code=code("generate_stimuli.py"),
    conda:
        ENV
    message:
        "Generate stimuli for {wildcards.experiment}/{wildcards.condition}"
    script:
        "../scripts/generate_stimuli.py"
