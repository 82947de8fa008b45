"""Templates that are made for one model."""

import pytest

from launcher.google.runtime_environment import FlexTemplateRuntimeEnvironment
from launcher.package.declaration import Declaration, is_own_title
from template.parameters import TEMPLATES

DECLARATION = Declaration(model_class="churn.model:ChurnModel", options=())


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)
def test_a_template_for_one_model_is_known_by_its_title(template):
    made = DECLARATION.make_template(template)
    assert made.title != template.title
    assert is_own_title(made.title)
    assert is_own_title(template.title)
    assert not is_own_title("Word counts with Beam")


def test_its_jobs_have_the_model_as_an_option_and_a_label_beside_other_labels():
    given = FlexTemplateRuntimeEnvironment(
        additional_pipeline_options=("number_of_worker_harness_threads=2",),
        additional_user_labels={"team": "ml"},
    )
    made = DECLARATION.set_environment(given)
    assert made.additional_pipeline_options == (
        "number_of_worker_harness_threads=2",
        "model_class=churn.model:ChurnModel",
    )
    label = {"flexpack-model": "churn-model-churnmodel"}
    assert made.additional_user_labels == {"team": "ml"} | label
