"""The explorer's page in a real browser: Chromium, LiteRT.js, no network."""

import functools
import http.server
import json
import threading
import types

import numpy as np
import pytest

from keras_vae import zoo
from keras_vae.export import route
from tests.support.browser import CHROMIUM, LITERTJS
from tests.support.explore import of_maps, with_attributes
from tools import explore

SETTLED = """async () => {
    await explorer.draw();
    return [Array.from(explorer.code), explorer.condition, Array.from(explorer.pixels)];
}"""
# Models made here, by the name of their page.
OWN = {"small": with_attributes, "maps": of_maps}
# What can be focused and is to be seen.
CONTROLS = """() => [...document.querySelectorAll('button, input, a[href], [tabindex="0"]')]
    .filter((e) => e.checkVisibility()).length"""


class Visit(types.SimpleNamespace):
    """One page in the browser, with the model that it shows."""

    def settled(self):
        """`(code, condition, pixels)` once the picture is that of the code."""
        code, condition, pixels = self.page.evaluate(SETTLED)
        return np.array(code), condition, np.array(pixels, "float32")

    def assert_shows_keras(self):
        """The picture is Keras' of the page's code, also as dots on the canvas."""
        code, condition, pixels = self.settled()
        model = self.model
        if model.codes_are_integers:
            right = model.decode(code.astype("int32").reshape(1, *model.code_shape))
        else:
            given = None if model.condition is None else np.array([condition])
            z = code.reshape(1, *model.code_shape).astype("float32")
            if model.can_transport:
                own = np.array([self.page.evaluate("() => explorer.own")])
                z = model.transport(z, own, given) if (own != given).any() else z
            right = model.decode(z, given)
        np.testing.assert_allclose(pixels.reshape(right.shape), right, atol=1e-4)
        dots = self.page.evaluate(
            "() => { const c = document.getElementById('picture'); "
            "return Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data); }"
        )
        shown = np.array(dots).reshape(*model.data_shape[:2], 4)[..., : model.data_shape[2]]
        np.testing.assert_allclose(shown, 255 * right[0], atol=0.51)
        return code, condition, pixels

    def value(self, selector, value):
        self.page.eval_on_selector(
            selector,
            "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', {bubbles: true})); }",
            str(value),
        )

    def at(self, selector, x, y):
        """Window coordinates of a place on an element, in parts of its sides."""
        locator = self.page.locator(selector)
        # In the middle, away from the picture that stays at the top.
        locator.evaluate("(e) => e.scrollIntoView({block: 'center'})")
        box = locator.bounding_box()
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def drag(self, selector, *places):
        mouse = self.page.mouse
        mouse.move(*self.at(selector, *places[0]))
        mouse.down()
        for place in places[1:]:
            mouse.move(*self.at(selector, *place), steps=5)
        mouse.up()


@pytest.fixture(scope="module")
def visits(tmp_path_factory, conversions):
    """Pages by the name of their model, each opened once, and changed by every test."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")
    root = tmp_path_factory.mktemp("explore")
    handler = functools.partial(explore._Handler, directory=str(root))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    opened = {}
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])

        def visit(name):
            if name not in opened:
                source = name
                if name in OWN:
                    source = zoo.save(OWN[name](), root / f"preset_{name}")
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(route, "_child", conversions)
                    explore.write(source, root / name, verbose=False)
                opened[name] = Visit(
                    name=name,
                    folder=root / name,
                    model=zoo.load(source, compile=False),
                    address=f"http://127.0.0.1:{server.server_port}/{name}/",
                    # What the page's worker keeps is tested in test_app.py.
                    page=browser.new_page(
                        viewport={"width": 1280, "height": 800}, service_workers="block"
                    ),
                    errors=[],
                    asked=[],
                )
                follow(opened[name])
                open_page(opened[name])
            return opened[name]

        yield visit
        browser.close()
    server.shutdown()
    server.server_close()


def follow(visit):
    visit.page.on("pageerror", lambda error: visit.errors.append(str(error)))
    visit.page.on("request", lambda request: visit.asked.append(request.url))

    def listen(message):
        if message.type == "error":
            visit.errors.append(message.text)

    visit.page.on("console", listen)


def open_page(visit):
    visit.page.goto(visit.address)
    try:
        visit.page.wait_for_selector("body[data-filled]", timeout=60_000)
    except Exception:
        raise AssertionError(f"{visit.page.inner_text('#status')} {visit.errors}") from None


NAMES = ["mnist_2d", "mnist_cvae", "mnist_vq", *OWN]


@pytest.mark.once
@pytest.mark.skipif(not LITERTJS.is_dir(), reason="needs LiteRT.js: see tools/start.py")
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on the path")
@pytest.mark.slow
class TestInTheBrowser:
    @pytest.fixture(params=NAMES)
    def each(self, request, visits):
        return visits(request.param)

    def test_the_picture_is_keras_own(self, each):
        _, _, before = each.assert_shows_keras()
        each.page.click("#random")
        _, _, after = each.assert_shows_keras()
        assert np.abs(after - before).max() > 1e-3

    def test_it_decodes_fast_enough_for_thirty_pictures_a_second(self, each):
        each.settled()
        assert 0 < each.page.evaluate("explorer.model.latency") < 1000 / 30

    def test_it_starts_from_a_real_digit_or_a_sample(self, each):
        each.page.click("#panel-startFrom button >> nth=1")
        code, condition, _ = each.assert_shows_keras()
        about = json.loads((each.folder / "explore.json").read_text())
        row = (about["starts"] or about["samples"])[1]
        np.testing.assert_allclose(code, np.ravel(row["code"]))
        assert condition == row.get("condition")
        thumbnails = each.page.locator("#panel-startFrom canvas")
        assert len({thumbnails.nth(i).evaluate("(e) => e.toDataURL()") for i in range(10)}) == 10

    def test_keyboard_reaches_every_control(self, each):
        page = each.page
        page.evaluate("() => { document.activeElement.blur(); window.reached = new Set(); }")
        page.locator("h1").click()
        controls = page.evaluate(CONTROLS)
        for _ in range(controls):
            page.keyboard.press("Tab")
            page.evaluate("() => window.reached.add(document.activeElement)")
        assert page.evaluate("() => window.reached.has(document.body)") is False
        assert page.evaluate("() => window.reached.size") == controls > 15

    def test_every_control_has_a_name(self, each):
        session = each.page.context.new_cdp_session(each.page)
        for language in ("es", "en"):
            each.page.click(f"[data-language={language}]")
            nodes = session.send("Accessibility.getFullAXTree")["nodes"]
            roles = ("button", "slider", "switch", "spinbutton", "link", "image", "group")
            named = [
                (node["role"]["value"], node.get("name", {}).get("value", "").strip())
                for node in nodes
                if not node["ignored"] and node["role"]["value"] in roles
            ]
            assert len(named) > 15 and all(name for _, name in named), named
            sliders = [name for role, name in named if role in ("slider", "switch")]
            assert len(set(sliders)) == len(sliders)
        session.detach()

    @pytest.mark.parametrize("width", [390, 320, 1280])
    def test_nothing_is_wider_than_the_screen(self, each, width):
        each.page.set_viewport_size({"width": width, "height": 800})
        try:
            for language in ("es", "en"):
                each.page.click(f"[data-language={language}]")
                assert each.page.evaluate("document.documentElement.scrollWidth") <= width
                edges = each.page.evaluate(
                    "() => [...document.querySelectorAll('main *')].filter(e => "
                    "e.checkVisibility() && !e.classList.contains('unseen') && "
                    f"e.getBoundingClientRect().right > {width} + 0.5).length"
                )
                assert edges == 0
        finally:
            each.page.set_viewport_size({"width": 1280, "height": 800})

    def test_sliders_move_the_picture(self, visits):
        visit = visits("mnist_cvae")
        order = json.loads((visit.folder / "explore.json").read_text())["latent"]["order"]
        dims = visit.page.locator("[data-dimension]").evaluate_all(
            "(all) => all.filter(e => e.checkVisibility()).map(e => Number(e.dataset.dimension))"
        )
        assert dims == order[:16]
        before, _, old = visit.settled()
        visit.page.focus(f"[data-dimension='{dims[0]}']")
        for _ in range(20):
            visit.page.keyboard.press("ArrowLeft" if before[dims[0]] > 0 else "ArrowRight")
        after, _, new = visit.assert_shows_keras()
        moved = np.zeros(20)
        moved[dims[0]] = -1.0 if before[dims[0]] > 0 else 1.0
        np.testing.assert_allclose(after - before, moved, atol=1e-5)
        assert np.abs(new - old).max() > 0.05
        visit.value(f"[data-dimension='{dims[1]}']", 1.25)
        assert visit.assert_shows_keras()[0][dims[1]] == 1.25

    def test_the_others_are_shown_when_asked_for(self, visits):
        page = visits("mnist_cvae").page
        more = page.locator("#panel-sliders .more")
        seen = "(all) => all.filter(e => e.checkVisibility()).length"
        for text, number in (("Show all 20", 20), ("Show fewer", 16)):
            assert more.inner_text() == text
            more.click()
            assert page.locator("[data-dimension]").evaluate_all(seen) == number

    def test_the_map_moves_both_dimensions(self, visits):
        visit = visits("mnist_2d")
        visit.drag(".map", (0.5, 0.5), (0.25, 0.125))
        code, _, old = visit.assert_shows_keras()
        np.testing.assert_allclose(code, [-1.5, 2.25], atol=0.02)
        for key in ("ArrowRight", "ArrowRight", "ArrowUp"):
            visit.page.keyboard.press(key)
        moved, _, new = visit.assert_shows_keras()
        np.testing.assert_allclose(moved - code, [0.2, 0.1], atol=1e-5)
        assert np.abs(new - old).max() > 0.01
        said = visit.page.get_attribute(".map", "aria-valuetext")
        assert said == f"first dimension {moved[0]:.1f}, second dimension {moved[1]:.1f}"
        assert float(visit.page.input_value("[data-dimension='1']")) == pytest.approx(moved[1])

    def test_the_map_has_pictures_of_its_places(self, visits):
        visit = visits("mnist_2d")
        # The point is elsewhere, so that a place shows its picture alone.
        visit.drag(".map", (0.99, 0.99), (0.99, 0.99))
        visit.settled()
        dots = visit.page.eval_on_selector(
            ".map", "(c) => Array.from(c.getContext('2d').getImageData(28, 56, 28, 28).data)"
        )
        place = (np.array([[1.5, 2.5]]) / 15 * 6 - 3) * [1, -1]
        right = visit.model.decode(place.astype("float32"))[0, ..., 0]
        np.testing.assert_allclose(np.array(dots).reshape(28, 28, 4)[..., 0], 255 * right, atol=1)

    @pytest.mark.parametrize("name", ["mnist_2d", *OWN])
    def test_between_two_samples(self, visits, name):
        visit = visits(name)
        visit.page.click("#panel-interpolation .picture >> nth=1")
        ends = []
        for t in (0, 1):
            visit.value("#way", t)
            ends.append(visit.assert_shows_keras())
        # Two samples, which may lie near each other.
        assert np.abs(ends[1][0] - ends[0][0]).max() > 0.01
        visit.value("#way", 0.25)
        found = visit.assert_shows_keras()
        # The code, and attributes too.
        for i in (0, 1) if name in OWN else (0,):
            first, second = np.array(ends[0][i]), np.array(ends[1][i])
            np.testing.assert_allclose(found[i], 0.75 * first + 0.25 * second, atol=1e-6)

    def test_the_way_can_be_played_and_stopped(self, visits):
        page = visits("mnist_2d").page
        play = page.locator("#play")
        play.click()
        assert play.inner_text() == "Pause"
        places = {page.wait_for_timeout(50) or page.input_value("#way") for _ in range(6)}
        assert len(places) > 1
        play.click()
        visits("mnist_2d").settled()
        place = page.input_value("#way")
        page.wait_for_timeout(100)
        assert play.inner_text() == "Play" and page.input_value("#way") == place

    def test_labels(self, visits):
        visit = visits("mnist_cvae")
        before, _, old = visit.settled()
        buttons = visit.page.locator("#panel-labels button")
        for label in (7, 2):
            buttons.nth(label).click()
            code, condition, new = visit.assert_shows_keras()
            assert condition == label and np.array_equal(code, before)
            pressed = [buttons.nth(i).get_attribute("aria-pressed") for i in range(10)]
            assert pressed == ["true" if i == label else "false" for i in range(10)]
        assert np.abs(new - old).max() > 0.05
        visit.page.click("#random")
        assert visit.assert_shows_keras()[1] == 2

    @pytest.mark.parametrize("name", OWN)
    def test_attributes(self, visits, name):
        visit = visits(name)
        before, given, old = visit.settled()
        switch = visit.page.locator("#panel-attributes input").first
        i = int(switch.get_attribute("data-attribute"))
        assert switch.is_checked() == (given[i] > 0.5)
        switch.focus()
        visit.page.keyboard.press("Space")
        code, condition, new = visit.assert_shows_keras()
        assert np.array_equal(code, before) and np.abs(new - old).max() > 1e-4
        assert [k for k in range(12) if condition[k] != given[k]] == [i]
        visit.page.click("#panel-attributes .more")
        assert visit.page.locator("#panel-attributes input").last.is_visible()

    def strokes(self, visit, *places):
        visit.page.click("#clear")
        visit.drag("#paper", *places)
        code, condition, pixels = visit.assert_shows_keras()
        seen = visit.page.eval_on_selector(
            "#panel-draw figure canvas",
            "(c) => Array.from(c.getContext('2d').getImageData(0, 0, 28, 28).data)",
        )
        seen = np.array(seen, "float32").reshape(28, 28, 4)[..., :1] / 255
        return code, condition, pixels.reshape(28, 28, 1), seen

    @pytest.mark.parametrize("name", ["mnist_2d", "mnist_cvae", "mnist_vq"])
    def test_a_drawn_digit_is_reconstructed(self, visits, name):
        visit = visits(name)
        code, condition, rebuilt, seen = self.strokes(visit, (0.6, 0.1), (0.5, 0.5), (0.4, 0.7))
        # As MNIST's: 20 of 28 pixels, the centre of mass in the middle.
        rows = np.flatnonzero(seen.max((1, 2)) > 0.1)
        assert 20 <= rows[-1] - rows[0] + 1 <= 22
        place = np.arange(28) + 0.5
        assert abs((seen.sum((1, 2)) * place).sum() / seen.sum() - 14) < 0.3
        assert abs((seen.sum((0, 2)) * place).sum() / seen.sum() - 14) < 0.3
        # A stroke like this is a one, which even two dimensions can tell.
        assert np.square(rebuilt - seen).sum() < 0.5 * np.square(seen).sum()
        model = visit.model
        if name == "mnist_vq":
            right = model.encode(seen[None])[0].ravel()
            # The page has not rounded what it sees to 8 bits.
            assert (code == right).mean() > 0.8
            return
        if name == "mnist_2d":
            np.testing.assert_allclose(code, model.encode(seen[None])[0], atol=0.05)
            return
        labels = np.arange(10)
        ten = np.repeat(seen[None], 10, axis=0)
        codes = model.encode(ten, labels)
        best = np.square(model.decode(codes, labels) - ten).sum((1, 2, 3)).argmin()
        assert condition == best
        np.testing.assert_allclose(code, codes[best], atol=0.05)
        assert visit.page.inner_text("#panel-draw [role=status]") == f"Label {best} fits best."

    def test_a_digit_is_drawn_by_keyboard(self, visits):
        visit = visits("mnist_2d")
        visit.page.click("#clear")
        visit.page.focus("#paper")
        before, _, _ = visit.settled()
        keys = ["ArrowUp"] * 10 + ["Space"] + ["ArrowDown"] * 20
        for key in keys:
            visit.page.keyboard.press(key)
        visit.page.wait_for_function(
            "(old) => explorer.code.some((v, i) => Math.abs(v - old[i]) > 0.1)", arg=before.tolist()
        )
        assert visit.page.get_attribute("#paper", "aria-valuetext") == "pen down, 140, 220"
        visit.page.keyboard.press("Space")
        assert visit.page.get_attribute("#paper", "aria-valuetext") == "pen up, 140, 220"

    def test_codes_are_changed_one_by_one(self, visits):
        visit = visits("mnist_vq")
        visit.page.mouse.click(*visit.at(".codes", 2.5 / 7, 1.5 / 7))
        before, _, old = visit.settled()
        visit.page.fill("#code", str((before[9] + 100) % 512))
        after, _, new = visit.assert_shows_keras()
        assert np.flatnonzero(after != before).tolist() == [9]
        assert after[9] == (before[9] + 100) % 512 and np.abs(new - old).max() > 1e-3
        visit.page.focus(".codes")
        visit.page.keyboard.press("ArrowDown")
        said = visit.page.get_attribute(".codes", "aria-valuetext")
        assert said == f"row 3, column 3: code {int(after[16])}"
        assert visit.page.input_value("#code") == str(int(after[16]))

    def test_a_code_out_of_range_changes_nothing(self, visits):
        visit = visits("mnist_vq")
        before, _, _ = visit.settled()
        for wrong in ("512", "-1", "", "1.5"):
            visit.page.fill("#code", wrong)
            assert np.array_equal(visit.settled()[0], before)

    def test_codes_are_chosen_by_how_they_look(self, visits):
        visit = visits("mnist_vq")
        visit.page.mouse.click(*visit.at(".codes", 0.5 / 7, 0.5 / 7))
        visit.page.mouse.click(*visit.at(".palette", 3.5 / 20, 2.5 / 26))
        assert visit.assert_shows_keras()[0][0] == 2 * 20 + 3
        visit.page.keyboard.press("ArrowRight")
        visit.page.keyboard.press("ArrowDown")
        visit.page.keyboard.press("Enter")
        assert visit.assert_shows_keras()[0][0] == 3 * 20 + 4
        visit.page.click("#everywhere")
        assert (visit.assert_shows_keras()[0] == 64).all()

    def test_two_maps_are_mixed(self, visits):
        visit = visits("mnist_vq")
        ends = []
        for t in (0, 49):
            visit.value("#way", t)
            ends.append(visit.settled()[0])
        visit.value("#way", 20)
        code, _, _ = visit.assert_shows_keras()
        np.testing.assert_array_equal(code, np.where(np.arange(49) < 20, ends[1], ends[0]))
        assert (ends[0] != ends[1]).any()

    def test_a_label_chooses_among_the_samples_of_a_prior(self, visits):
        visit = visits("mnist_vq")
        visit.page.click("#panel-labels button >> nth=4")
        code, condition, _ = visit.assert_shows_keras()
        rows = json.loads((visit.folder / "explore.json").read_text())["samples"]
        assert condition == 4
        assert code.tolist() in [np.ravel(r["code"]).tolist() for r in rows if r["condition"] == 4]

    def test_what_is_saved(self, visits, tmp_path):
        visit = visits("mnist_2d")
        pixels = visit.settled()[2].reshape(28, 28)
        with visit.page.expect_download() as download:
            visit.page.click("#save")
        assert download.value.suggested_filename == "mnist_2d.png"
        download.value.save_as(tmp_path / "x.png")
        import matplotlib.image

        picture = matplotlib.image.imread(tmp_path / "x.png")[..., 0]
        assert picture.shape == (504, 504)
        np.testing.assert_allclose(picture[9::18, 9::18], pixels, atol=0.51 / 255)
        with visit.page.expect_download() as download:
            visit.page.click("#tflite")
        assert download.value.suggested_filename == "mnist_2d.tflite"
        download.value.save_as(tmp_path / "m.tflite")
        assert (tmp_path / "m.tflite").read_bytes() == (visit.folder / "model.tflite").read_bytes()

    def test_it_speaks_spanish(self, visits):
        page = visits("mnist_cvae").page
        assert page.inner_text("#panel-draw h2") == "Draw a digit"
        page.click("[data-language=es]")
        assert page.get_attribute("html", "lang") == "es"
        assert page.inner_text("#panel-draw h2") == "Dibuja un dígito"
        assert page.get_attribute("#paper", "aria-label").startswith("Zona de dibujo")
        assert "Decodificada en" in page.inner_text("#latency")
        page.click("[data-language=en]")
        assert page.inner_text("#panel-draw h2") == "Draw a digit"

    def variation(self, visits, **changes):
        """mnist_2d's page, told something else of its model."""
        visit = visits("mnist_2d")
        about = json.loads((visit.folder / "explore.json").read_text())
        for key, value in changes.items():
            about[key] = {**(about[key] or {}), **value}
        page = visit.page.context.browser.new_page(service_workers="block")
        page.route("**/explore.json", lambda route: route.fulfill(json=about))
        changed = Visit(**{**vars(visit), "page": page, "errors": [], "asked": []})
        follow(changed)
        open_page(changed)
        return changed

    def test_directions_are_added_to_the_code(self, visits):
        vectors = [[1.0, 0.5], [0.0, -1.0]]
        visit = self.variation(visits, directions={"names": ["Up", "Down"], "vectors": vectors})
        before, _, _ = visit.assert_shows_keras()
        visit.value("[data-direction=Up]", 1.5)
        visit.value("[data-direction=Down]", -0.5)
        code, _, pixels = visit.settled()
        moved = before + 1.5 * np.array(vectors[0]) - 0.5 * np.array(vectors[1])
        right = visit.model.decode(moved[None].astype("float32")).ravel()
        np.testing.assert_allclose(pixels, right, atol=1e-4)
        assert np.array_equal(code, before) and visit.errors == []
        visit.page.close()

    def test_a_variable_of_classes_is_one_slider(self, visits):
        visit = self.variation(visits, latent={"choices": [[0, 2]]})
        assert visit.page.locator("[data-dimension]").count() == 0
        visit.value("[data-variable='0']", 1)
        assert visit.assert_shows_keras()[0].tolist() == [0, 1]
        visit.value("[data-variable='0']", 0)
        assert visit.assert_shows_keras()[0].tolist() == [1, 0] and visit.errors == []
        visit.page.close()

    def test_what_does_not_load_is_said(self, visits):
        browser = visits("mnist_2d").page.context.browser
        page = browser.new_page(service_workers="block")
        page.route("**/model.tflite", lambda route: route.fulfill(status=404))
        page.goto(visits("mnist_2d").address)
        page.wait_for_selector("#status.failed")
        assert "Received: model.tflite: 404" in page.inner_text("#status")
        page.close()

    def test_it_asks_for_nothing_else(self, each):
        """After all that was done to the pages above."""
        each.settled()
        outside = [u for u in each.asked if not u.startswith((each.address, "data:", "blob:"))]
        assert outside == [] and each.errors == []
        assert f"{each.address}model.tflite" in each.asked
