rule variance_explained:
    input:
        stimuli=rules.generate_stimuli.output[0],
        networks=rules.train.output.networks,
    output:
        "results/{study}/tables/parts/variance_explained/{experiment}/{condition}.csv",
    log:
        "results/{study}/logs/variance_explained/{experiment}/{condition}.log",
    benchmark:
        "results/{study}/benchmarks/variance_explained/{experiment}/{condition}.tsv"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=memory_of_ensemble,
        runtime=60,
    params:
        network=settings("network"),
        definition=STUDY.bias.definition,
        code=code("variance_explained.py"),
    message:
        "Measure variance explained in {wildcards.experiment}/{wildcards.condition}"
    script:
        "../scripts/variance_explained.py"
