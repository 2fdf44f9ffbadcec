rule image_statistics:
    input:
        lambda w: STUDY.images[w.images].input_files(),
    output:
        "<results>/stimuli/{images}/statistics.csv",
    log:
        "<results>/logs/image_statistics/{images}.log",
    benchmark:
        "<results>/benchmarks/image_statistics/{images}.tsv"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=fixed(2000),
        runtime=fixed(60),
    params:
        images=lambda w: STUDY.images[w.images].model_dump(mode="json"),
        code=code("image_statistics.py"),
    message:
        "Describe the images of {wildcards.images}"
    script:
        "../scripts/image_statistics.py"


rule audit_recording:
    input:
        recording="<results>/recordings/{recording}.h5",
        networks=lambda w: PLAN.files_of("rdms", STUDY.shown_to(w.recording)),
        statistics=lambda w: PLAN.statistics_of(STUDY.shown_to(w.recording)),
    output:
        "<results>/tables/parts/audit/recordings/{recording}.csv",
        "<results>/tables/parts/audit_remaining/recordings/{recording}.csv",
        "<results>/tables/parts/audit_range/recordings/{recording}.csv",
    log:
        "<results>/logs/audit_recording/{recording}.log",
    benchmark:
        "<results>/benchmarks/audit_recording/{recording}.tsv"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=by_input(NUMERIC, 20),
        runtime=by_input(60, 5),
    params:
        group=lambda w: STUDY.shown_to(w.recording),
        places=lambda w: PLAN.places_of("rdms", STUDY.shown_to(w.recording)),
        geometry=PLAN.recording_geometry(),
        audit=PLAN.audit(),
        code=code("audit_recording.py"),
    message:
        "Audit the scores of {wildcards.recording}"
    script:
        "../scripts/audit_recording.py"


rule audit_networks:
    input:
        networks=lambda w: PLAN.files_of("rdms", w.group),
        statistics=lambda w: PLAN.statistics_of(w.group),
        images=lambda w: PLAN.columns_file_of(w.group),
    output:
        "<results>/tables/parts/audit_networks/{group}.csv",
    log:
        "<results>/logs/audit_networks/{group}.log",
    benchmark:
        "<results>/benchmarks/audit_networks/{group}.tsv"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=by_input(NUMERIC, 5),
        runtime=fixed(60),
    params:
        members=lambda w: PLAN.groups[w.group],
        layers=lambda w: PLAN.audited_layers(w.group),
        images=lambda w: PLAN.plain_images(w.group),
        audit=PLAN.audit(),
        code=code("audit_networks.py"),
    message:
        "Audit the similarity of the networks of {wildcards.group}"
    script:
        "../scripts/audit_networks.py"


rule audit_pairs:
    input:
        recordings=lambda w: [
            f"{PLAN.results}/recordings/{r}.h5" for r in PLAN.common_stimuli[w.images]
        ],
        statistics=lambda w: PLAN.statistics_of(w.images),
    output:
        "<results>/tables/parts/audit/images/{images}.csv",
    log:
        "<results>/logs/audit_pairs/{images}.log",
    benchmark:
        "<results>/benchmarks/audit_pairs/{images}.tsv"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=by_input(NUMERIC, 20),
        runtime=fixed(30),
    params:
        recordings=lambda w: PLAN.common_stimuli[w.images],
        geometry=PLAN.recording_geometry(),
        audit=PLAN.audit(),
        code=code("audit_pairs.py"),
    message:
        "Audit the similarity of the recordings of {wildcards.images}"
    script:
        "../scripts/audit_pairs.py"


rule recover_models:
    input:
        recording="<results>/recordings/{recording}.h5",
        rdms=lambda w: PLAN.files_of("rdms", STUDY.shown_to(w.recording)),
        activations=lambda w: PLAN.activations_for(w.recording),
    output:
        "<results>/tables/parts/recovery/{recording}.csv",
    log:
        "<results>/logs/recover_models/{recording}.log",
    benchmark:
        "<results>/benchmarks/recover_models/{recording}.tsv"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=lambda w, input, attempt: attempt * RESOURCES.recovery_memory(input.size_mb),
        runtime=by_input(60, 10),
    params:
        group=lambda w: STUDY.shown_to(w.recording),
        rdms=lambda w: PLAN.places_of("rdms", STUDY.shown_to(w.recording)),
        activations=lambda w: PLAN.places_of("activations", STUDY.shown_to(w.recording)),
        settings=PLAN.recovery(),
        code=code("recover_models.py"),
    message:
        "Simulate brains with the noise of {wildcards.recording}"
    script:
        "../scripts/recover_models.py"


rule recover_shares:
    input:
        recording="<results>/recordings/{recording}.h5",
        rdms=lambda w: PLAN.files_of("rdms", STUDY.shown_to(w.recording)),
        activations=lambda w: PLAN.activations_for(w.recording),
        statistics=lambda w: PLAN.statistics_of(STUDY.shown_to(w.recording)),
    output:
        "<results>/tables/parts/recovery_shares/{recording}.csv",
    log:
        "<results>/logs/recover_shares/{recording}.log",
    benchmark:
        "<results>/benchmarks/recover_shares/{recording}.tsv"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=lambda w, input, attempt: attempt * RESOURCES.recovery_memory(input.size_mb),
        runtime=by_input(60, 10),
    params:
        group=lambda w: STUDY.shown_to(w.recording),
        rdms=lambda w: PLAN.places_of("rdms", STUDY.shown_to(w.recording)),
        activations=lambda w: PLAN.places_of("activations", STUDY.shown_to(w.recording)),
        layers=lambda w: PLAN.analysed_layers(STUDY.shown_to(w.recording)),
        geometry=PLAN.recording_geometry(),
        audit=PLAN.audit(),
        recovery=STUDY.recovery.model_dump(mode="json"),
        code=code("recover_shares.py"),
    message:
        "Test shares of scores at the noise of {wildcards.recording}"
    script:
        "../scripts/recover_shares.py"
