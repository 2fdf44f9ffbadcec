rule read_recording:
    input:
        recording=lambda w: STUDY.recordings[w.recording].input_files(),
        images=lambda w: PLAN.image_files_of(w.recording),
    output:
        "<results>/recordings/{recording}.h5",
    log:
        "<results>/logs/read_recording/{recording}.log",
    benchmark:
        "<results>/benchmarks/read_recording/{recording}.tsv"
    wildcard_constraints:
        recording=names(STUDY.recordings.keys() - STUDY.simulated().keys()),
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=by_input(2000, 6),
        runtime=fixed(30),
    params:
        recording=lambda w: STUDY.recordings[w.recording].model_dump(mode="json"),
        images=lambda w: PLAN.images_of(w.recording),
        code=code("read_recording.py"),
    message:
        "Read recording {wildcards.recording}"
    script:
        "../scripts/read_recording.py"


rule simulate_recording:
    input:
        lambda w: PLAN.file_of_condition("activations", STUDY.recordings[w.recording].source),
    output:
        "<results>/recordings/{recording}.h5",
    log:
        "<results>/logs/simulate_recording/{recording}.log",
    benchmark:
        "<results>/benchmarks/simulate_recording/{recording}.tsv"
    wildcard_constraints:
        recording=names(STUDY.simulated()),
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=by_input(PLAIN, 5),
        runtime=fixed(30),
    params:
        recording=lambda w: STUDY.recordings[w.recording].model_dump(mode="json"),
        code=code("simulate_recording.py"),
    message:
        "Simulate recording {wildcards.recording}"
    script:
        "../scripts/simulate_recording.py"


rule analyse_recording:
    input:
        recording="<results>/recordings/{recording}.h5",
        networks=lambda w: PLAN.files_of("rdms", STUDY.shown_to(w.recording)),
    output:
        expand("<results>/tables/parts/{table}/{{recording}}.csv", table=PLAN.by_rdms()),
    log:
        "<results>/logs/analyse_recording/{recording}.log",
    benchmark:
        "<results>/benchmarks/analyse_recording/{recording}.tsv"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=lambda w, input, attempt: attempt * RESOURCES.recording_memory(input.size_mb),
        runtime=by_input(120, 5),
    params:
        group=lambda w: STUDY.shown_to(w.recording),
        places=lambda w: PLAN.places_of("rdms", STUDY.shown_to(w.recording)),
        analyses=PLAN.analyses_of_recordings(PLAN.by_rdms()),
        code=[code_of(analysis) for analysis in PLAN.by_rdms()],
    message:
        "Analyse recording {wildcards.recording}"
    script:
        "../scripts/analyse_recording.py"


rule fit_models:
    input:
        recording="<results>/recordings/{recording}.h5",
        networks=lambda w: PLAN.files_of("activations", STUDY.shown_to(w.recording)),
    output:
        "<results>/tables/parts/{analysis}/{recording}.csv",
    log:
        "<results>/logs/{analysis}/{recording}.log",
    benchmark:
        "<results>/benchmarks/{analysis}/{recording}.tsv"
    wildcard_constraints:
        analysis=names(PLAN.by_activations()),
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=lambda w, input, attempt: attempt * RESOURCES.recording_memory(input.size_mb),
        runtime=by_input(120, 5),
    params:
        group=lambda w: STUDY.shown_to(w.recording),
        places=lambda w: PLAN.places_of("activations", STUDY.shown_to(w.recording)),
        analyses=lambda w: PLAN.analyses_of_recordings([w.analysis]),
        code=lambda w: code_of(w.analysis),
    message:
        "Fit models to recording {wildcards.recording}: {wildcards.analysis}"
    script:
        "../scripts/analyse_recording.py"


rule compare_recordings:
    input:
        lambda w: [f"{PLAN.results}/recordings/{r}.h5" for r in PLAN.common_stimuli[w.images]],
    output:
        "<results>/tables/parts/rsa_between_recordings/{images}.csv",
    log:
        "<results>/logs/rsa_between_recordings/{images}.log",
    benchmark:
        "<results>/benchmarks/rsa_between_recordings/{images}.tsv"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=by_input(NUMERIC, 5),
        runtime=fixed(30),
    params:
        recordings=lambda w: PLAN.common_stimuli[w.images],
        geometry=PLAN.recording_geometry(),
        code=code("compare_recordings.py"),
    message:
        "Compare the recordings of {wildcards.images} with each other"
    script:
        "../scripts/compare_recordings.py"


rule recording_pictures:
    input:
        recording="<results>/recordings/{recording}.h5",
        rdms=lambda w: PLAN.files_of("rdms", STUDY.shown_to(w.recording)),
        images=lambda w: PLAN.image_files_of(w.recording),
    output:
        svg=[
            report(
                f"<results>/figures/{kind}_{{recording}}.svg",
                category="Figures",
                caption="../report/figure.rst",
                labels={"figure": f"{kind} of {{recording}}"},
            )
            for kind in PICTURES
        ],
        csv=[f"<results>/figures/{kind}_{{recording}}.csv" for kind in PICTURES],
    log:
        "<results>/logs/recording_pictures/{recording}.log",
    benchmark:
        "<results>/benchmarks/recording_pictures/{recording}.tsv"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=by_input(NUMERIC, 5),
        runtime=fixed(30),
    params:
        images=lambda w: PLAN.images_of(w.recording),
        members=lambda w: PLAN.groups.get(STUDY.shown_to(w.recording), []),
        layers=lambda w: PLAN.analysed_layers(STUDY.shown_to(w.recording)),
        spaces=lambda w: PLAN.spaces_of(STUDY.shown_to(w.recording)),
        geometry=PLAN.recording_geometry(),
        code=code("recording_pictures.py"),
    message:
        "Draw the RDMs of {wildcards.recording}"
    script:
        "../scripts/recording_pictures.py"
