for BATCH in BATCHES:

    rule:
        name:
            BATCH.rule("rdms")
        input:
            BATCH.files("activations"),
        output:
            kept("rdms", BATCH.files("rdms")),
        log:
            BATCH.file("logs/rdms", "log"),
        benchmark:
            BATCH.file("benchmarks/rdms", "tsv")
        wildcard_constraints:
            # Networks of the user's are to a set of images what conditions are to an experiment.
            experiment=names([*SINGLE, *STUDY.images]),
            condition=names(member for members in GROUPS.values() for member in members),
        conda:
            ENV
        threads: 1
        resources:
            mem_mb=BATCH.needs(memory_of_rdms),
            runtime=BATCH.needs(minutes_of_rdms),
        params:
            conditions=BATCH.each(stimuli_of_rdms),
            distance=STUDY.geometry.distance,
            max_memory_mb=STUDY.geometry.max_memory_mb,
            code=code("rdms.py"),
        message:
            f"Compute RDMs of {BATCH}"
        script:
            "../scripts/rdms.py"


rule rsa_models:
    input:
        lambda w: [f"results/{w.study}/rdms/{w.group}/{member}.h5" for member in GROUPS[w.group]],
    output:
        "results/{study}/tables/parts/rsa_models/{group}.csv",
    log:
        "results/{study}/logs/rsa_models/{group}.log",
    benchmark:
        "results/{study}/benchmarks/rsa_models/{group}.tsv"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=scaled(memory_of_rsa_models),
        runtime=fixed(60),
    params:
        members=lambda w: GROUPS[w.group],
        rdm_similarities=STUDY.geometry.rdm_similarities,
        distance=STUDY.geometry.distance,
        code=code("rsa_models.py"),
    message:
        "Compare all networks of {wildcards.group}"
    script:
        "../scripts/rsa_models.py"


rule similarity:
    input:
        lambda w: expand(
            "results/{study}/activations/{experiment}/{condition}.h5",
            study=w.study,
            experiment=w.experiment,
            condition=GROUPS[w.experiment],
        ),
    output:
        "results/{study}/tables/parts/similarity/{experiment}.csv",
    log:
        "results/{study}/logs/similarity/{experiment}.log",
    benchmark:
        "results/{study}/benchmarks/similarity/{experiment}.tsv"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=by_input(NUMERIC, 2),
        runtime=scaled(minutes_of_similarity),
    params:
        layers=lambda w: layers_of({c: (w.experiment, c) for c in GROUPS[w.experiment]}),
        similarity=STUDY.similarity.model_dump(mode="json"),
        code=code("similarity.py"),
    message:
        "Compare all networks of {wildcards.experiment} by many measures"
    script:
        "../scripts/similarity.py"


if STUDY.identification:

    rule identification:
        input:
            expand(
                "results/{{study}}/activations/{condition}.h5",
                condition=STUDY.identification.candidates,
            ),
        output:
            "results/{study}/tables/identification.csv",
        log:
            "results/{study}/logs/identification.log",
        benchmark:
            "results/{study}/benchmarks/identification.tsv"
        conda:
            ENV
        threads: 1
        resources:
            mem_mb=by_input(NUMERIC, 2),
            runtime=fixed(120),
        params:
            layers=layers_of({c: tuple(c.split("/", 1)) for c in STUDY.identification.candidates}),
            identification=STUDY.identification.model_dump(mode="json"),
            code=code("identification.py"),
        message:
            "Ask which similarity measure names the network that computes the same"
        script:
            "../scripts/identification.py"
