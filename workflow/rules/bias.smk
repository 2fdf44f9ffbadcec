rule variance_explained:
    input:
        stimuli=rules.generate_stimuli.output[0],
        networks=rules.train.output.networks,
    output:
        OUT + "/tables/parts/variance_explained/{experiment}/{condition}.csv",
    log:
        OUT + "/logs/variance_explained/{experiment}/{condition}.log",
    benchmark:
        OUT + "/benchmarks/variance_explained/{experiment}/{condition}.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        network=settings("network"),
        definition=STUDY.bias.definition,
        code=code("variance_explained.py"),
    conda:
        ENV
    message:
        "Measure variance explained in {wildcards.experiment}/{wildcards.condition}"
    script:
        "../scripts/variance_explained.py"
