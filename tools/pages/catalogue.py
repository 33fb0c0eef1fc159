"""The presets by task: which one is for what, with a picture and one figure."""

from pathlib import Path

from keras_vae import zoo

from ..presets import recipes

# Key: (in English, in Spanish, functions of `models`). The first that fits is a preset's task.
TASKS = {
    "learn": (
        "See what a latent space is",
        "Ver qué es un espacio latente",
        ("autoencoder", "sparse_autoencoder", "contractive_autoencoder"),
    ),
    "draw": (
        "Draw new pictures",
        "Dibujar imágenes nuevas",
        ("vae", "hierarchical_vae", "wae_mmd", "swae"),
    ),
    "ask": ("Ask for a digit, or for a smile", "Pedir un dígito, o una sonrisa", ("cvae",)),
    "missing": ("Fill in missing data", "Rellenar datos que faltan", ("miwae",)),
    "noise": ("Take noise off", "Quitar ruido", ("denoising_autoencoder",)),
    "labels": ("Classify with few labels", "Clasificar con pocas etiquetas", ("auxiliary_vae",)),
    "clusters": (
        "Find clusters without labels",
        "Hallar grupos sin etiquetas",
        ("mixture_vae", "structured_vae", "joint_vae"),
    ),
    "bits": ("Codes of few bits", "Códigos de pocos bits", ("vq_vae", "categorical_vae")),
    "independent": (
        "Dimensions that are independent",
        "Dimensiones independientes",
        ("beta_vae", "beta_tc_vae", "factor_vae", "dip_vae", "info_vae", "annealed_vae"),
    ),
    "bound": (
        "The best bound",
        "La mejor cota",
        ("iwae", "flow_vae", "iaf_vae", "full_covariance_vae", "vamp_vae", "flow_prior_vae"),
    ),
    "tables": ("Model a table", "Modelar una tabla", ()),
    "series": ("Model series", "Modelar series", ()),
    "losses": (
        "Judge pictures by more than pixels",
        "Juzgar imágenes por más que sus píxeles",
        ("dfc_vae", "ms_ssim_vae", "logcosh_vae"),
    ),
    "more": ("More", "Más", ()),
}
# Presets that another task than their function's fits better, and further tasks of some.
_OWN = {
    "mnist_2d": ("learn", "draw"),
    "mnist_10d": ("independent",),
    "mnist_dense": ("bound", "draw"),
    "mnist_vae": ("bound",),
    "mnist_flow": ("bound", "draw"),
    "mnist_cvae": ("ask", "draw"),
    "mnist_vq": ("bits", "ask", "draw"),
    "cifar10_vq": ("bits", "ask", "draw"),
    "celeba_vq": ("bits", "draw"),
    "celeba_vae": ("draw", "ask"),
    "celeba_cvae": ("ask", "draw"),
    "vowels_series": ("series",),
    "wine_table": ("tables",),
}
# What the front page names, one for each of its tasks.
FRONT = (
    "mnist_conv",
    "mnist_flow",
    "mnist_2d",
    "mnist_cvae",
    "celeba_cvae",
    "celeba_vq",
    "mnist_miwae",
    "mnist_denoising",
)
_FRONT_FOR = {
    "mnist_conv": ("where to start", "para empezar"),
    "mnist_flow": ("the best bound", "la mejor cota"),
    "mnist_2d": ("a latent space to look at", "un espacio latente para mirar"),
    "mnist_cvae": ("the digit that you ask for", "el dígito que pides"),
    "celeba_cvae": ("faces, 40 attributes to switch", "caras con 40 atributos"),
    "celeba_vq": ("sharp faces from few bits", "caras nítidas con pocos bits"),
    "mnist_miwae": ("missing data", "datos que faltan"),
    "mnist_denoising": ("noise", "ruido"),
}
# The picture that says most about a preset: the first that it has.
_PICTURES = ("imputed", "denoised", "manifold", "attributes", "samples", "columns", "series")
_PICTURES += ("reconstructions",)


def tasks(name):
    """Tasks of a preset, the one that it is listed under first."""
    if name in _OWN:
        return _OWN[name]
    function = recipes.read(zoo.folder(name))["model"]["function"]
    return (next((task for task, row in TASKS.items() if function in row[2]), "more"),)


def picture(name):
    """File name of a preset's picture, or None."""
    folder = Path(zoo.folder(name))
    files = (f"{stem}{ending}" for stem in _PICTURES for ending in (".png", ".jpg"))
    return next((file for file in files if (folder / file).is_file()), None)


def figures(info, recipe):
    """The bound or the error of a preset, what it is for, and what that is held against."""
    test = [m for m in info["metrics"] if m["split"] == "test"]
    title = recipe["evaluation"].get("headline", "")

    def first(test_of):
        return next(filter(test_of, test), None)

    general = first(lambda m: m["title"].startswith("NLL")) or first(
        lambda m: m["title"] == "reconstruction MSE"
    )
    own = first(lambda m: m["title"] == title)
    others = [m for m in test if title and m["title"].startswith(f"{title} of ")]
    found = [m for m in (general, own, *others) if m]
    return [m for i, m in enumerate(found) if m not in found[:i]]


def figure(name):
    """The one figure of a preset that matters most, in words, or "-"."""
    info, recipe = zoo.info(name), recipes.read(zoo.folder(name))
    found = figures(info, recipe)
    title = recipe["evaluation"].get("headline", "")
    own = [m for m in found if m["title"] == title] or found[:1]
    return value(own[0]) if own else "-"


def value(metric):
    """A metric's title and value, with its unit where that is needed."""
    error = f" ± {metric['standard_error']:.2f}" if metric["standard_error"] else ""
    unit = metric["unit"] if metric["unit"] in ("dB", "%") else ""
    said = f"{metric['value']:.{metric['digits']}f}{error} {unit}".strip()
    return f"{metric['title']} {said}"


def size(name):
    """Megabytes of a preset, as text."""
    megabytes = zoo.info(name)["bytes"] / 1e6
    # 0.0 would say that there is nothing.
    return f"{megabytes:.1f}" if megabytes >= 0.05 else f"{megabytes:.2f}"


def front(language):
    """The table of the front page."""
    spanish = language == "es"
    head = "| modelo | para qué | cifra de prueba | MB |" if spanish else (
        "| preset | what for | test figure | MB |"
    )  # fmt: skip
    rows = (
        f"| [`{name}`](zoo/{name}/README.md) | {_FRONT_FOR[name][spanish]} | {figure(name)} "
        f"| {size(name)} |"
        for name in FRONT
        if name in zoo.list_models()
    )
    return "\n".join([head, "|---|---|---|---|", *rows])


def grouped():
    """Task to its presets, in the order of `TASKS`; tasks without a preset are left out."""
    found = {task: [] for task in TASKS}
    for name in zoo.list_models():
        found[tasks(name)[0]].append(name)
    return {task: names for task, names in found.items() if names}


def markdown(language):
    """All presets by task: pictures, one line, size and one figure."""
    spanish = language == "es"
    groups = grouped()
    links = " · ".join(
        f"[{TASKS[task][spanish]}](#{anchor(TASKS[task][spanish])})" for task in groups
    )
    parts = [f"{'Por tarea' if spanish else 'By task'}: {links}"]
    head = "| modelo | qué es |" if spanish else "| preset | what it is |"
    for task, names in groups.items():
        rows = "\n".join(map(_row, names))
        parts.append(f"## {TASKS[task][spanish]}\n\n{head}\n|---|---|\n{rows}")
    return "\n\n".join(parts)


def _row(name):
    info, recipe = zoo.info(name), recipes.read(zoo.folder(name))
    shown = picture(name)
    # Markdown itself cannot say how wide a picture is.
    image = f'<br><img src="{name}/{shown}" alt="{name}" width="200">' if shown else ""
    what = f"{info['description']} {recipe.get('purpose', '')}".strip()
    return f"| [`{name}`]({name}/README.md){image} | {what}<br>{size(name)} MB · {figure(name)} |"


def anchor(title):
    """What GitHub calls a heading in links."""
    kept = "".join(c for c in title.lower() if c.isalnum() or c in " -_")
    return kept.replace(" ", "-")
