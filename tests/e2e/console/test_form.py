"""The form of parameters, as a browser shows it."""

from __future__ import annotations

from tests.e2e.console.fields import BUCKET, EVERY_FIELD, ODD


def test_every_field_of_the_form(browser, form):
    form(EVERY_FIELD)
    titles = [each.text for each in browser.find_all("section.group h2")]
    assert titles == ["Group A", "Group B"]
    for each in EVERY_FIELD:
        found = browser.find_all(f"[name='p.{each['name']}']")
        assert bool(found) is not each.get("hiddenUi", False), each["name"]
    assert browser.find("[name='p.t_NUMBER']").get_attribute("inputmode") == "decimal"
    assert len(browser.find_all("[name='p.t_BOOLEAN'][type=radio]")) == 3
    pickers = {each.get_attribute("aria-label") for each in browser.find_all("[data-pick]")}
    assert "Browse for As PUBSUB_TOPIC" in pickers
    assert "Browse for As GCS_READ_FILE" in pickers
    assert "Browse for As TEXT" not in pickers
    assert browser.find("[name='p.filled']").get_attribute("value") == "as given"
    assert [each.text for each in browser.find_all("[name='p.mode'] option")] == ["First", "Second"]
    marks = [each.text for each in browser.find_all("label:has(.required)")]
    assert [text.split("*")[0] for text in marks if "Plain" in text or "Code" in text] == ["Plain"]
    assert "secret" in browser.read(".about")  # hidden, and the text says so:
    assert ODD in browser.read("main")  # as text
    assert browser.run("return document.querySelectorAll('main img').length") == 0


def test_children_are_shown_on_their_parents_values(browser, form):
    form(EVERY_FIELD)

    def is_shown(name: str) -> bool:
        return browser.find(f"[name='p.{name}']").is_displayed()

    assert not is_shown("of_a")
    browser.find("[name='p.mode']").send_keys("First")
    browser.wait(lambda: is_shown("of_a"), "the child")
    assert browser.read("[data-description-of]") == "The first."
    assert not is_shown("of_any")
    browser.fill_in("of_a", "whatever")
    browser.wait(lambda: is_shown("of_any"), "the child's child")
    browser.fill_in("of_any", "deep")
    browser.wait_for_text("#equal", '"of_any": "deep"')
    browser.find("[name='p.mode']").send_keys("Second")
    browser.wait(lambda: not is_shown("of_any"), "both are hidden")
    browser.wait(lambda: "deep" not in browser.read("#equal"), "and not sent")


def test_a_regex_is_refused_while_typing_and_by_the_service_alike(browser, form, local):
    form(EVERY_FIELD)
    field = browser.fill_in("code", "X")
    problem = "Parameter didn't match regex '^[a-z]{2}[0-9]+$'"
    browser.wait_for_text(f"#{field}-problem", problem)
    assert browser.find(f"#{field}").get_attribute("aria-invalid") == "true"
    browser.fill_in("code", "ab12")
    browser.wait(lambda: browser.read(f"#{field}-problem") == "", "no problem")
    browser.fill_in("code", "ab")
    browser.fill_in("plain", "p")
    browser.click("button.primary")
    browser.wait_for_text(f"#{field}-problem", problem)
    browser.wait(
        lambda: browser.run("return document.activeElement.id") == field, "the field has the focus"
    )
    assert "/launch?" in browser.driver.current_url


def test_what_is_missing_is_named_at_the_launch_only(browser, form):
    form(EVERY_FIELD)
    (field,) = browser.find_all("[name='p.plain']")
    problem = f"#{field.get_attribute('id')}-problem"
    browser.fill_in("code", "ab1")
    browser.wait_for_text("#equal", "ab1")
    assert browser.read(problem) == ""
    browser.click("button.primary")
    browser.wait_for_text(problem, "Missing required parameter")


def test_a_bucket_is_browsed(browser, form, demo):
    form(EVERY_FIELD)
    browser.click("[aria-label='Browse for As GCS_READ_FILE']")
    browser.click_text(BUCKET, "button")
    browser.click_text("data/", "button")
    browser.wait_for_text("dialog", "garments.pth")
    browser.driver.find_element("xpath", "//dialog//button[contains(., 'garments.pth')]").click()
    value = browser.find("[name='p.t_GCS_READ_FILE']").get_attribute("value")
    assert value == f"gs://{BUCKET}/data/garments.pth"
    browser.wait_for_text("#equal", value)


def test_the_form_works_by_keyboard_alone(browser, form):
    from selenium.webdriver.common.keys import Keys

    form(EVERY_FIELD)
    browser.run("document.body.focus()")
    keys = browser.driver.switch_to
    keys.active_element.send_keys(Keys.TAB)
    assert browser.run("return document.activeElement.className") == "skip"
    keys.active_element.send_keys(Keys.ENTER)
    for _ in range(80):
        if browser.run("return document.activeElement.name") == "p.plain":
            break
        keys.active_element.send_keys(Keys.TAB)
    keys.active_element.send_keys("typed")
    browser.wait_for_text("#equal", '"plain": "typed"')
    browser.find("[data-pick]").send_keys(Keys.ENTER)
    browser.wait(lambda: browser.find_all("dialog[open]"), "the picker")
    browser.wait(
        lambda: browser.run("return document.activeElement.closest('dialog') !== null"), "focus"
    )
    keys.active_element.send_keys(Keys.ESCAPE)
    browser.wait(lambda: not browser.find_all("dialog[open]"), "it is closed")
