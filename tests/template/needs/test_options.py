"""Declared options: typed attributes, arguments of load_model, parameters of a template."""

import copy
import pickle
import re

import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from template.model import BaseModel, Option
from template.needs.describe import describe_model
from template.needs.options import find_options
from template.options import PredictConfig, StreamConfig, check_flags, find_option_names
from template.parameters import BATCH, ParameterError
from tests.template.needs.option_models import BeamsName, EveryOption, Undeclared

MODELS = "tests.template.needs.option_models"
FLAGS = ["--input=a", "--output=b", "--model_path=c"]


def read(*flags, model="EveryOption"):
    options = PipelineOptions([*FLAGS, f"--model_class={MODELS}:{model}", *flags])
    return PredictConfig.from_options(options).model_opts


DEFAULTS = {
    "threshold": 0.5,
    "top_k": 5,
    "head": "small",
    "half": False,
    "note": None,
    "who": "me",
}


class TestModels:
    def test_options_are_attributes_before_the_model_is_loaded(self):
        model = EveryOption("path", {"who": "me", "threshold": 1})
        assert {name: getattr(model, name) for name in DEFAULTS} == {**DEFAULTS, "threshold": 1.0}
        assert type(model.threshold) is float
        for again in (pickle.loads(pickle.dumps(model)), copy.copy(model)):
            assert again.threshold == 1.0
            assert again.ensure_model() == [1.0]

    def test_load_model_gets_those_that_it_takes(self):
        class Any(EveryOption):
            def load_model(self, path, **opts):
                return opts

        class One(EveryOption):
            def load_model(self, path, *, head, further=3):
                return [head, further]

        class None_(EveryOption):
            def load_model(self, path):
                return ["none"]

        opts = {"who": "me"}
        assert Any("p", opts).ensure_model() == DEFAULTS
        assert One("p", {**opts, "further": 4}).ensure_model() == ["small", 4]
        assert None_("p", opts).ensure_model() == ["none"]

    def test_the_loaded_objects_predict_gets_those_that_are_passed_to_it(self):
        class Doubler:
            def predict(self, df, factor):
                return {"b": df["a"] * factor}

        class Passing(BaseModel):
            factor = Option("integer", "By what.", default=2, passed_to="predict")

            def load_model(self, path, **opts):
                assert opts == {}
                return Doubler()

        import pandas as pd

        frame = pd.DataFrame({"a": [1, 2]})
        assert Passing("p").predict(frame)["b"].tolist() == [2, 4]
        assert Passing("p", {"factor": 3}).predict(frame)["b"].tolist() == [3, 6]
        assert Passing("p", predict_opts={"factor": 5}).predict(frame)["b"].tolist() == [5, 10]

    @pytest.mark.parametrize(
        ("given", "reason"),
        [
            ({}, "option 'who': is required. Who asks."),
            ({"who": 5}, "option 'who' 5: not a text"),
            ({"who": "", "threshold": 1.5}, "'threshold' 1.5: not a number from 0 to 1"),
            ({"who": "", "threshold": "0.5"}, "'threshold' '0.5': not a number from 0 to 1"),
            ({"who": "", "threshold": float("nan")}, "'threshold' nan: not a number"),
            ({"who": "", "threshold": True}, "'threshold' True: not a number"),
            ({"who": "", "threshold": 10**400}, "not a number from 0 to 1"),
            ({"who": "", "top_k": 0}, "'top_k' 0: not a whole number from 1 to 100"),
            ({"who": "", "top_k": 2.0}, "'top_k' 2.0: not a whole number"),
            ({"who": "", "head": "smal"}, "not one of small, big.1; did you mean 'small'?"),
            ({"who": "", "half": "true"}, "'half' 'true': not true or false"),
            ({"who": "", "half": None}, "'half' None: not true or false"),
            ({"who": "", "note": "A"}, "does not match [a-z, ]*"),
        ],
    )
    def test_what_the_declaration_refuses(self, given, reason):
        with pytest.raises(ValueError, match=re.escape(reason)):
            EveryOption("path", given)

    def test_a_subclass_inherits_changes_and_fixes_options(self):
        class Child(EveryOption):
            who = "fixed"
            top_k = Option("integer", "Fewer.", default=2)

        assert list(find_options(Child)) == ["threshold", "top_k", "head", "half", "note"]
        model = Child("path")
        assert (model.who, model.top_k, model.threshold) == ("fixed", 2, 0.5)

    def test_a_constructor_that_forgets_the_options_says_so(self):
        class Own(EveryOption):
            def __init__(self, path):
                pass

        with pytest.raises(AttributeError, match=r"'who' has no value yet: call super\(\)"):
            _ = Own("path").who


class TestDeclaring:
    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (("numbr", "x"), "not one of text, number, integer, boolean; did you mean 'number'"),
            (("number", ""), "explain it in help"),
            (("number", "x", {"default": "a"}), "default='a'.*not a number"),
            (("number", "x", {"default": 2, "maximum": 1}), "default=2.*not a number of 1 or less"),
            (("number", "x", {"minimum": 2, "maximum": 1}), "no number is from 2 to 1"),
            (("integer", "x", {"minimum": 0.2, "maximum": 0.8}), "no whole number is from"),
            (("text", "x", {"minimum": 2}), "bounds are for numbers"),
            (("number", "x", {"choices": ["1"]}), "choices and regex are for texts"),
            (("text", "x", {"choices": "ab"}), "give a list of texts"),
            (("text", "x", {"choices": [""]}), "choices are texts, and not empty"),
            (("text", "x", {"choices": ["a"], "regex": "b"}), "not both"),
            (("text", "x", {"choices": ["a"], "default": "b"}), "default='b'.*not one of a"),
            (("text", "x", {"regex": "("}), "cannot be read"),
            (("text", "x", {"passed_to": "init"}), "not one of load_model, predict"),
        ],
    )
    def test_contradictions_are_refused(self, arguments, reason):
        type_, help_, *more = arguments
        with pytest.raises((ValueError, TypeError), match=reason):
            Option(type_, help_, **(more[0] if more else {}))

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("batch_size", "a parameter of the template has this name"),
            ("model_path", "a parameter of the template has this name"),
            ("device", "a parameter of the template has this name"),
            ("predict", "every model has this attribute"),
            ("predict_opts", "every model has this attribute"),
            ("columns", "every model has this attribute"),
            ("camelCase", "lower-case letters"),
            ("_hidden", "lower-case letters"),
        ],
    )
    def test_names_that_are_taken_are_refused(self, name, reason):
        with pytest.raises(ValueError, match=f"option '{name}': {reason}"):
            type("Bad", (BaseModel,), {name: Option("text", "x", default="")})

    def test_a_name_of_beams_is_refused_when_a_template_is_made(self):
        with pytest.raises(ParameterError, match="option 'region': Beam's pipeline options"):
            describe_model(BeamsName)


class TestLaunches:
    def test_defaults(self):
        assert read("--who=me") == DEFAULTS

    def test_flags_of_every_type(self):
        flags = ("--threshold=1", "--top_k=7", "--head=big.1", "--half=true", "--note=a, b")
        assert read("--who=x", *flags) == {
            "threshold": 1.0,
            "top_k": 7,
            "head": "big.1",
            "half": True,
            "note": "a, b",
            "who": "x",
        }

    def test_json(self):
        text = '{"who": "x", "threshold": 0.25, "half": true, "note": null}'
        assert read(f"--model_opts={text}") == {
            **DEFAULTS,
            "who": "x",
            "threshold": 0.25,
            "half": True,
        }

    def test_json_and_flags_together(self):
        assert read('--model_opts={"who": "x"}', "--top_k=9")["top_k"] == 9

    def test_a_stream_has_them_too(self):
        flags = ["--input_subscription=projects/pppppp/subscriptions/sss", "--who=me"]
        flags += ["--output_topic=projects/pppppp/topics/ttt", "--model_path=c"]
        flags += ["--temp_location=d", f"--model_class={MODELS}:EveryOption"]
        assert StreamConfig.from_options(PipelineOptions(flags)).model_opts == DEFAULTS

    @pytest.mark.parametrize(
        ("flags", "reason"),
        [
            (["--threshold=1.5"], "--threshold '1.5': not a number from 0 to 1. From where."),
            (["--threshold=x"], "--threshold 'x': not a number from 0 to 1"),
            (["--threshold=inf"], "--threshold 'inf': not a number from 0 to 1"),
            (["--top_k=2.0"], "--top_k '2.0': not a whole number from 1 to 100"),
            (["--half=yes"], "--half 'yes': not true or false"),
            (["--head=x"], "--head 'x': not one of small, big.1"),
            (["--note=A"], "--note 'A': does not match [a-z, ]*"),
            (["--model_opts=x"], "--model_opts 'x': not JSON"),
            (["--model_opts=[1]"], "--model_opts '[1]': not a JSON object"),
            (['--model_opts={"top_kk": 1}'], "has no option 'top_kk'; did you mean 'top_k'?"),
            (['--model_opts={"top_k": "1"}'], "option 'top_k' '1': not a whole number"),
            (['--model_opts={"top_k": 1}', "--top_k=1"], "--top_k, --model_opts: both set 'top_k'"),
        ],
    )
    def test_what_is_wrong_is_named(self, flags, reason):
        with pytest.raises(ParameterError) as info:
            read("--who=me", *flags)
        assert reason in str(info.value)

    def test_all_that_is_wrong_is_named_at_once(self):
        with pytest.raises(ParameterError) as info:
            read("--top_k=0", "--half=x")
        lines = str(info.value).splitlines()
        assert [line.partition(":")[0] for line in lines] == [
            "--top_k '0'",
            "--half 'x'",
            "--who",
        ]

    def test_arguments_that_are_not_declared(self):
        assert read(model="Undeclared") == {}
        assert read('--model_opts={"depth": 3}', model="Undeclared") == {"depth": 3}
        with pytest.raises(ParameterError, match=r"no option 'deep'; .*it has depth"):
            read('--model_opts={"deep": 3}', model="Undeclared")

    def test_an_option_of_beams_name_is_set_by_json(self):
        assert read('--model_opts={"region": "r"}', "--region=us-central1", model="BeamsName") == {
            "region": "r"
        }

    def test_a_misspelt_flag_is_found(self):
        flags = [f"--model_class={MODELS}:EveryOption", "--treshold=1", "--top_k=3"]
        names = find_option_names(PipelineOptions(flags))
        with pytest.raises(
            ParameterError, match="--treshold: no such parameter; did you mean 'thr"
        ):
            check_flags(flags, BATCH, names)
        check_flags(flags[::2], BATCH, names)
        assert find_option_names(PipelineOptions(["--model_class=no.such:Class"])) == []

    def test_a_job_predicts_with_them_and_records_them(self, predict, tmp_path):
        (tmp_path / "in.csv").write_text("a\n1\n2\n")
        opts = {"who": "me", "top_k": 3}
        outcome = predict(tmp_path / "in.csv", model_class=EveryOption, model_opts=opts)
        values = "[0.5, 3, 'small', False, None, 'me']"
        assert [row["options"] for row in outcome.predictions] == [values] * 2
        assert outcome.record["parameters"]["model_opts"] == opts
        outcome = predict(tmp_path / "in.csv", model_class=Undeclared, model_opts={"depth": 8})
        assert [row["prediction"] for row in outcome.predictions] == [8, 8]
