rule analyse_condition:
    input:
        stimuli=rules.generate_stimuli.output[0],
        networks="results/{study}/networks/{experiment}/{condition}.h5",
    output:
        "results/{study}/tables/parts/{analysis}/{experiment}/{condition}.csv",
    log:
        "results/{study}/logs/{analysis}/{experiment}/{condition}.log",
    benchmark:
        "results/{study}/benchmarks/{analysis}/{experiment}/{condition}.tsv"
    wildcard_constraints:
        analysis=names(OF_CONDITIONS),
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=memory_of_ensemble,
        runtime=60,
    params:
        network=settings("network"),
        analysed_layer=lambda w: CONDITIONS[w.experiment, w.condition].network.analysed_layer,
        bias=lambda w: STUDY.bias.model_dump(mode="json", include=SETTINGS.get(w.analysis, set())),
        function=lambda w: OF_CONDITIONS[w.analysis],
        code=lambda w: code_of_function(OF_CONDITIONS[w.analysis]),
    message:
        "Analyse {wildcards.experiment}/{wildcards.condition}: {wildcards.analysis}"
    script:
        "../scripts/analyse_condition.py"


if STUDY.encryption:
    ENCRYPTED = CONDITIONS[tuple(STUDY.encryption.split("/", 1))]

    rule encryption:
        input:
            f"results/{{study}}/stimuli/{STUDY.encryption}.h5",
        output:
            "results/{study}/tables/encryption.csv",
        log:
            "results/{study}/logs/encryption.log",
        benchmark:
            "results/{study}/benchmarks/encryption.tsv"
        conda:
            ENV
        threads: 1
        resources:
            mem_mb=2000,
            runtime=30,
        params:
            condition=STUDY.encryption,
            stimuli=ENCRYPTED.stimuli.model_dump(mode="json"),
            seeds=ENCRYPTED.seeds,
            code=code("encryption.py"),
        message:
            "Analyse computations under encryption"
        script:
            "../scripts/encryption.py"
