for BATCH in BATCHES:

    rule:
        name:
            BATCH.rule("generate_stimuli")
        output:
            kept("stimuli", BATCH.files("stimuli")),
        log:
            BATCH.file("logs/generate_stimuli", "log"),
        benchmark:
            BATCH.file("benchmarks/generate_stimuli", "tsv")
        wildcard_constraints:
            experiment=names(SINGLE),
        conda:
            ENV
        threads: 1
        resources:
            mem_mb=BATCH.needs(memory_of_stimuli),
            runtime=BATCH.needs(minutes_of_stimuli),
        params:
            conditions=BATCH.each(settings("stimuli")),
            code=code("generate_stimuli.py"),
        message:
            f"Generate stimuli for {BATCH}"
        script:
            "../scripts/generate_stimuli.py"
