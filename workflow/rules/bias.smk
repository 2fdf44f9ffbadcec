for BATCH in BATCHES:

    rule:
        name:
            BATCH.rule("analyse_condition")
        input:
            stimuli=BATCH.files("stimuli"),
            networks=BATCH.files("networks"),
        output:
            BATCH.files("tables/parts/{analysis}", "csv"),
        log:
            BATCH.file("logs/{analysis}", "log"),
        benchmark:
            BATCH.file("benchmarks/{analysis}", "tsv")
        wildcard_constraints:
            analysis=names(OF_CONDITIONS),
            experiment=names(SINGLE),
        conda:
            ENV
        threads: 1
        resources:
            mem_mb=BATCH.needs(memory_of_ensembles),
            runtime=BATCH.needs(minutes_of_ensembles),
        params:
            conditions=BATCH.each(analysed_network),
            bias=lambda w: STUDY.bias.model_dump(
                mode="json", include=SETTINGS.get(w.analysis, set())
            ),
            function=lambda w: OF_CONDITIONS[w.analysis],
            code=lambda w: code_of_function(OF_CONDITIONS[w.analysis]),
        message:
            f"Analyse {BATCH}: {{wildcards.analysis}}"
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
            mem_mb=by_input(TORCH, 20),
            runtime=fixed(30),
        params:
            condition=STUDY.encryption,
            stimuli=ENCRYPTED.stimuli.model_dump(mode="json"),
            seeds=ENCRYPTED.seeds,
            code=code("encryption.py"),
        message:
            "Analyse computations under encryption"
        script:
            "../scripts/encryption.py"
