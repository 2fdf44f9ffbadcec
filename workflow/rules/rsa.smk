rule rdms:
    input:
        lambda w: PLAN.file_of("activations", **w),
    output:
        kept("rdms", "<results>/rdms/{group}/{member}.h5"),
    log:
        "<results>/logs/rdms/{group}/{member}.log",
    benchmark:
        "<results>/benchmarks/rdms/{group}/{member}.tsv"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=scaled(RESOURCES.rdms_memory),
        runtime=scaled(RESOURCES.rdms_minutes),
    params:
        n_stimuli=lambda w: PLAN.n_stimuli_of_rdms(w.group),
        distance=STUDY.geometry.distance,
        max_memory_mb=STUDY.geometry.max_memory_mb,
        code=code("rdms.py"),
    message:
        "Compute RDMs of {wildcards.group}/{wildcards.member}"
    script:
        "../scripts/rdms.py"


rule rsa_models:
    input:
        lambda w: PLAN.files_of("rdms", w.group),
    output:
        rsa_models="<results>/tables/parts/rsa_models/{group}.csv",
        rsa_untrained="<results>/tables/parts/rsa_untrained/{group}.csv",
    log:
        "<results>/logs/rsa_models/{group}.log",
    benchmark:
        "<results>/benchmarks/rsa_models/{group}.tsv"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=scaled(RESOURCES.rsa_models_memory),
        runtime=fixed(60),
    params:
        members=lambda w: PLAN.groups[w.group],
        rdm_similarities=STUDY.geometry.rdm_similarities,
        distance=STUDY.geometry.distance,
        code=code("rsa_models.py"),
    message:
        "Compare all networks of {wildcards.group}"
    script:
        "../scripts/rsa_models.py"


rule similarity:
    input:
        lambda w: PLAN.files_of("activations", w.experiment),
    output:
        "<results>/tables/parts/similarity/{experiment}.csv",
    log:
        "<results>/logs/similarity/{experiment}.log",
    benchmark:
        "<results>/benchmarks/similarity/{experiment}.tsv"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=by_input(NUMERIC, 2),
        runtime=scaled(RESOURCES.similarity_minutes),
    params:
        places=lambda w: PLAN.places_of("activations", w.experiment),
        layers=lambda w: PLAN.analysed_layers(w.experiment),
        similarity=STUDY.similarity.model_dump(mode="json"),
        code=code("similarity.py"),
    message:
        "Compare all networks of {wildcards.experiment} by many measures"
    script:
        "../scripts/similarity.py"


if STUDY.identification:

    rule identification:
        input:
            PLAN.candidate_files(),
        output:
            "<results>/tables/parts/identification/all.csv",
        log:
            "<results>/logs/identification.log",
        benchmark:
            "<results>/benchmarks/identification.tsv"
        conda:
            ENV
        threads: 1
        resources:
            mem_mb=by_input(NUMERIC, 2),
            runtime=fixed(120),
        params:
            places=PLAN.candidate_places(),
            layers={c: PLAN.all_analysed_layers()[c] for c in STUDY.identification.candidates},
            identification=STUDY.identification.model_dump(mode="json"),
            code=code("identification.py"),
        message:
            "Ask which similarity measure names the network that computes the same"
        script:
            "../scripts/identification.py"
