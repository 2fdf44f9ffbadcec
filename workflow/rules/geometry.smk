rule rdms:
    input:
        OUT + "/activations/{group}/{member}.h5",
    output:
        OUT + "/rdms/{group}/{member}.h5",
    log:
        OUT + "/logs/rdms/{group}/{member}.log",
    benchmark:
        OUT + "/benchmarks/rdms/{group}/{member}.tsv"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        distance=STUDY.geometry.distance,
        # Every image of a set is used; of generated stimuli the first n.
        n_stimuli=lambda w: STUDY.geometry.n_stimuli if w.group in STUDY.experiments else None,
        code=code("rdms.py"),
    conda:
        ENV
    message:
        "Compute RDMs of {wildcards.group}/{wildcards.member}"
    script:
        "../scripts/rdms.py"


rule rsa_models:
    input:
        lambda w: [f"{OUT}/rdms/{w.group}/{member}.h5" for member in GROUPS[w.group]],
    output:
        OUT + "/tables/parts/rsa_models/{group}.csv",
    log:
        OUT + "/logs/rsa_models/{group}.log",
    benchmark:
        OUT + "/benchmarks/rsa_models/{group}.tsv"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        members=lambda w: GROUPS[w.group],
        geometry=STUDY.geometry.model_dump(mode="json"),
        code=code("rsa_models.py"),
    conda:
        ENV
    message:
        "Compare all networks of {wildcards.group}"
    script:
        "../scripts/rsa_models.py"


rule rsa_recording:
    input:
        recording=OUT + "/recordings/{recording}.h5",
        rdms=of_group("rdms"),
    output:
        OUT + "/tables/parts/rsa_recordings/{recording}.csv",
    log:
        OUT + "/logs/rsa_recording/{recording}.log",
    benchmark:
        OUT + "/benchmarks/rsa_recording/{recording}.tsv"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        group=lambda w: STUDY.shown_to(w.recording),
        members=lambda w: GROUPS.get(STUDY.shown_to(w.recording), []),
        geometry=STUDY.geometry.model_dump(mode="json"),
        code=code("rsa_recording.py"),
    conda:
        ENV
    message:
        "Compare networks with recording {wildcards.recording} (RSA)"
    script:
        "../scripts/rsa_recording.py"
