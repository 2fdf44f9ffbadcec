rule generate_stimuli:
    output:
        kept("stimuli", "<results>/stimuli/{experiment}/{batch}.h5"),
    log:
        "<results>/logs/generate_stimuli/{experiment}/{batch}.log",
    benchmark:
        "<results>/benchmarks/generate_stimuli/{experiment}/{batch}.tsv"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=scaled(RESOURCES.stimuli_memory),
        runtime=scaled(RESOURCES.stimuli_minutes),
    params:
        conditions=lambda w: PLAN.stimuli_of_batch(**w),
        code=code("generate_stimuli.py"),
    message:
        "Generate stimuli of {wildcards.experiment}/{wildcards.batch}"
    script:
        "../scripts/generate_stimuli.py"
