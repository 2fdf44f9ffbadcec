for BATCH in BATCHES:

    rule:
        name:
            BATCH.rule("train")
        input:
            stimuli=BATCH.files("stimuli"),
        output:
            networks=kept("networks", BATCH.files("networks")),
            learning=BATCH.files("tables/parts/learning", "csv"),
        log:
            BATCH.file("logs/train", "log"),
        benchmark:
            BATCH.file("benchmarks/train", "tsv")
        wildcard_constraints:
            experiment=names(SINGLE),
        # The longest batches first, so that none is left alone at the end.
        priority: BATCH.steps()
        conda:
            ENV
        threads: 1
        resources:
            mem_mb=BATCH.needs(memory_of_training),
            runtime=BATCH.needs(minutes_of_training),
        params:
            conditions=BATCH.each(training_settings),
            device=STUDY.device,
            code=code("train.py"),
        message:
            f"Train networks of {BATCH}"
        script:
            "../scripts/train.py"

    rule:
        name:
            BATCH.rule("ensemble_activations")
        input:
            stimuli=BATCH.files("stimuli"),
            networks=BATCH.files("networks"),
        output:
            kept("activations", BATCH.files("activations")),
        log:
            BATCH.file("logs/ensemble_activations", "log"),
        benchmark:
            BATCH.file("benchmarks/ensemble_activations", "tsv")
        wildcard_constraints:
            experiment=names(SINGLE),
        conda:
            ENV
        threads: 1
        resources:
            mem_mb=BATCH.needs(memory_of_ensembles),
            runtime=BATCH.needs(minutes_of_ensembles),
        params:
            conditions=BATCH.each(settings("network")),
            device=STUDY.device,
            code=code("ensemble_activations.py"),
        message:
            f"Write activations of {BATCH}"
        script:
            "../scripts/ensemble_activations.py"


rule model_activations:
    input:
        images=lambda w: STUDY.images[w.images].input_files(),
        code=lambda w: STUDY.networks[w.network].source_files(),
    output:
        "results/{study}/activations/{images}/{network}.h5",
    log:
        "results/{study}/logs/model_activations/{images}/{network}.log",
    benchmark:
        "results/{study}/benchmarks/model_activations/{images}/{network}.tsv"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=fixed(4000),  # what a model takes is not known
        runtime=fixed(120),
    params:
        images=lambda w: STUDY.images[w.images].model_dump(mode="json"),
        network=lambda w: STUDY.networks[w.network].model_dump(mode="json"),
        device=STUDY.device,
        code=code("model_activations.py"),
    message:
        "Run {wildcards.network} on {wildcards.images}"
    script:
        "../scripts/model_activations.py"
