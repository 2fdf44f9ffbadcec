rule read_recording:
    input:
        recording=lambda w: STUDY.recordings[w.recording].input_files(),
        images=lambda w: STUDY.images[STUDY.shown_to(w.recording)].input_files(),
    output:
        "results/{study}/recordings/{recording}.h5",
    log:
        "results/{study}/logs/read_recording/{recording}.log",
    benchmark:
        "results/{study}/benchmarks/read_recording/{recording}.tsv"
    wildcard_constraints:
        recording=names(STUDY.recordings.keys() - STUDY.simulated().keys()),
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=fixed(2000),
        runtime=fixed(30),
    params:
        recording=lambda w: STUDY.recordings[w.recording].model_dump(mode="json"),
        images=lambda w: STUDY.images[STUDY.shown_to(w.recording)].model_dump(mode="json"),
        code=code("read_recording.py"),
    message:
        "Read recording {wildcards.recording}"
    script:
        "../scripts/read_recording.py"


rule simulate_recording:
    input:
        lambda w: f"results/{w.study}/activations/{STUDY.recordings[w.recording].source}.h5",
    output:
        "results/{study}/recordings/{recording}.h5",
    log:
        "results/{study}/logs/simulate_recording/{recording}.log",
    benchmark:
        "results/{study}/benchmarks/simulate_recording/{recording}.tsv"
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
        recording="results/{study}/recordings/{recording}.h5",
        networks=networks_of_recording,
    output:
        "results/{study}/tables/parts/{analysis}/{recording}.csv",
    log:
        "results/{study}/logs/{analysis}/{recording}.log",
    benchmark:
        "results/{study}/benchmarks/{analysis}/{recording}.tsv"
    wildcard_constraints:
        analysis=names(OF_RECORDINGS),
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=memory_of_recording,
        runtime=by_input(120, 5),
    params:
        group=lambda w: STUDY.shown_to(w.recording),
        members=lambda w: GROUPS.get(STUDY.shown_to(w.recording), []),
        analysis=lambda w: OF_RECORDINGS[w.analysis]._asdict() | {"ignored": None},
        settings=settings_of_recording,
        code=lambda w: code_of_function(OF_RECORDINGS[w.analysis].function),
    message:
        "Analyse recording {wildcards.recording}: {wildcards.analysis}"
    script:
        "../scripts/analyse_recording.py"


rule compare_recordings:
    input:
        lambda w: [f"results/{w.study}/recordings/{name}.h5" for name in COMMON_STIMULI[w.images]],
    output:
        "results/{study}/tables/parts/rsa_between_recordings/{images}.csv",
    log:
        "results/{study}/logs/rsa_between_recordings/{images}.log",
    benchmark:
        "results/{study}/benchmarks/rsa_between_recordings/{images}.tsv"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=by_input(NUMERIC, 5),
        runtime=fixed(30),
    params:
        recordings=lambda w: COMMON_STIMULI[w.images],
        geometry=STUDY.geometry.model_dump(mode="json", exclude={"distance", "n_stimuli"}),
        code=code("compare_recordings.py"),
    message:
        "Compare the recordings of {wildcards.images} with each other"
    script:
        "../scripts/compare_recordings.py"


rule recording_pictures:
    input:
        recording="results/{study}/recordings/{recording}.h5",
        rdms=of_group("rdms"),
        images=images_of_recording,
    output:
        svg=[
            report(
                f"results/{{study}}/figures/{kind}_{{recording}}.svg",
                category="Figures",
                caption="../report/figure.rst",
                labels={"figure": f"{kind} of {{recording}}"},
            )
            for kind in PICTURES
        ],
        csv=[f"results/{{study}}/figures/{kind}_{{recording}}.csv" for kind in PICTURES],
    log:
        "results/{study}/logs/recording_pictures/{recording}.log",
    benchmark:
        "results/{study}/benchmarks/recording_pictures/{recording}.tsv"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=by_input(NUMERIC, 5),
        runtime=fixed(30),
    params:
        images=lambda w: images_settings(STUDY.shown_to(w.recording)),
        members=lambda w: GROUPS.get(STUDY.shown_to(w.recording), []),
        layers=lambda w: analysed_layers(STUDY.shown_to(w.recording)),
        geometry=STUDY.geometry.model_dump(mode="json", exclude={"distance", "n_stimuli"}),
        code=code("recording_pictures.py"),
    message:
        "Draw the RDMs of {wildcards.recording}"
    script:
        "../scripts/recording_pictures.py"
