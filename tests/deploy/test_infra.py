"""What the Bicep templates would deploy. No compiler for them is on a package index: see bicep_template.py."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from .bicep_syntax import Parameter, parse
from .bicep_template import BicepError, Deployed, Deployment, Unknown, deploy, parameters, unused
from .resource_types import mistakes

WEB_APP = Path(__file__).parents[2] / "examples" / "web_app"
INFRA = WEB_APP / "infra"
MAIN, PARAMETERS = INFRA / "main.bicep", INFRA / "main.bicepparam"
FILES = sorted(INFRA.rglob("*.bicep"))

IMAGE = "registry.azurecr.io/web-app:20261123120000"
HOSTS = ["appservice", "containerapp"]

# https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
ROLES = {
    "AcrPull": "7f951dda-4ed3-4680-a7ca-43fe172d538d",
    "Cognitive Services User": "a97b65f3-24c7-4388-baec-2e87135dc908",
    "Azure AI User": "53ca6127-db72-4b80-b1b0-d745d6d5456d",
}


def deployed(**environ: str) -> Deployment:
    """What azd would deploy with these variables in its environment."""
    return deploy(MAIN, parameters(PARAMETERS, environ))


def hosted(host: str, **environ: str) -> Deployment:
    return deployed(APP_HOST=host, APP_IMAGE=IMAGE, **environ)


def properties(resource: Deployed) -> Any:
    return resource.body["properties"]


def environment_of(deployment: Deployment) -> dict[str, str]:
    """The environment variables of the container."""
    if settings := deployment.of("Microsoft.Web/sites/config"):
        return dict(properties(settings[0]))
    container = properties(deployment.one("Microsoft.App/containerApps"))["template"]["containers"][0]
    return {entry["name"]: entry["value"] for entry in container["env"]}


# --- the files fit together -------------------------------------------------------------------------------------


@pytest.mark.parametrize("environ", [{}, *({"APP_HOST": host, "APP_IMAGE": IMAGE} for host in HOSTS)])
def test_every_property_is_one_that_azure_knows(environ: dict[str, str]) -> None:
    found = deployed(**environ).resources
    assert [text for resource in found for text in mistakes(resource)] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_everything_declared_is_used(path: Path) -> None:
    assert unused(path) == set()


def test_every_module_file_is_used() -> None:
    used = {(INFRA / path).resolve() for path in re.findall(r"^module \w+ '([^']+)'", MAIN.read_text(), re.M)}
    assert used == {path.resolve() for path in (INFRA / "modules").glob("*.bicep")}


def test_azd_gives_every_parameter_and_keeps_its_default() -> None:
    declared = {each.name: each.default for each in parse(MAIN).declarations if isinstance(each, Parameter)}
    given = parameters(PARAMETERS, {})
    assert given.keys() == declared.keys()
    required = {name: given[name] for name, default in declared.items() if default is None}
    assert deploy(MAIN, required).resources == deploy(MAIN, given).resources


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"APP_HOST": "aks"}, "host = 'aks' breaks allowed"),
        ({"APP_NAME": "a-name-too-long-for-it"}, "appName"),
        ({"DRAIN_SECONDS": "101"}, "drainSeconds = 101 breaks maxValue(100)"),
        ({"APP_SETTINGS": "[]"}, "appSettings is of type object"),
    ],
)
def test_a_wrong_value_is_refused_before_anything_is_deployed(environ: dict[str, str], said: str) -> None:
    with pytest.raises(BicepError, match=re.escape(said)):
        deployed(**environ)


def test_names_have_the_length_that_azure_allows() -> None:
    found = [*hosted("appservice").resources, *hosted("containerapp", APP_NAME="fifteen-letters").resources]
    limits = {  # https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
        "Microsoft.App/containerApps": 32,
        "Microsoft.App/managedEnvironments": 32,
        "Microsoft.CognitiveServices/accounts": 64,
        "Microsoft.ContainerRegistry/registries": 50,
        "Microsoft.Web/serverfarms": 40,
        "Microsoft.Web/sites": 60,
    }
    for resource in found:
        assert len(str(resource.body["name"])) <= limits.get(resource.type, 80), resource
    names = [str(resource.body["name"]) for resource in found if resource.type.endswith("/registries")]
    assert all(name.isalnum() for name in names)


MISTAKES = [
    ("main.bicep", "scope: group\n", "scope: grup\n", "no 'grup'"),
    ("main.bicep", "    port: port\n", "", "parameter port is missing"),
    ("main.bicep", "    port: port\n", "    port: string(port)\n", "port is of type int"),
    ("main.bicep", "    port: port\n", "    ports: port\n", "no such parameter"),
    ("main.bicep", "    port: port\n", "    port: port,,\n", "expected"),
    ("main.bicep", "modules/logs.bicep", "modules/log.bicep", "no file modules/log.bicep"),
    ("main.bicep", "logs.outputs.id", "logs.outputs.name", "no 'name' among ['id']"),
    ("main.bicep", "  scope: group\n", "", "is for a resourceGroup"),
    ("main.bicep", "output APP_HOST string", "output APP_HOST int", "APP_HOST is of type int"),
    ("modules/registry.bicep", "adminUserEnabled: false", "adminUserEnable: false", "no such property"),
    ("modules/registry.bicep", "adminUserEnabled: false", "adminUserEnabled: 'false'", "is of type boolean"),
    ("modules/appservice.bicep", "threshold: metric.above", "treshold: metric.above", "no such property"),
    ("modules/appservice.bicep", "metric.above", "metric.over", "no 'over'"),
    ("modules/appservice.bicep", "sites@2024-04-01", "sites@latest", "is no API version"),
    ("modules/appservice.bicep", "string(port)", "port", "is of type string"),
    ("modules/appservice.bicep", "concat(scaleOut, scaleIn)", "join(scaleOut, scaleIn)", "no function 'join'"),
]


@pytest.mark.parametrize(("file", "right", "wrong", "said"), MISTAKES)
def test_a_mistake_is_found(tmp_path: Path, file: str, right: str, wrong: str, said: str) -> None:
    shutil.copytree(INFRA, tmp_path / "infra")
    path = tmp_path / "infra" / file
    text = path.read_text(encoding="utf-8")
    assert right in text
    path.write_text(text.replace(right, wrong), encoding="utf-8")
    given = parameters(PARAMETERS, {"APP_IMAGE": IMAGE})
    try:
        found = [
            text for each in deploy(tmp_path / "infra" / "main.bicep", given).resources for text in mistakes(each)
        ]
    except (BicepError, SyntaxError) as error:
        found = [str(error)]
    assert any(said in text for text in found), found


# --- in two steps -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", HOSTS)
def test_without_an_image_there_is_everything_but_the_app(host: str) -> None:
    first, second = deployed(APP_HOST=host), hosted(host)
    assert {"Microsoft.Web/sites", "Microsoft.App/containerApps"}.isdisjoint(
        {each.type for each in first.resources}
    )
    assert second.resources[: len(first.resources)] == first.resources
    assert first.outputs["APP_URL"] == ""
    assert str(second.outputs["APP_URL"]).startswith("https://<")
    assert first.outputs["APP_RESOURCE_NAME"] == second.outputs["APP_RESOURCE_NAME"]


@pytest.mark.parametrize("host", HOSTS)
def test_the_script_finds_the_app_by_the_outputs(host: str) -> None:
    deployment = hosted(host)
    kind = {"appservice": "Microsoft.Web/sites", "containerapp": "Microsoft.App/containerApps"}[host]
    assert deployment.one(kind).body["name"] == deployment.outputs["APP_RESOURCE_NAME"]
    group = deployment.one("Microsoft.Resources/resourceGroups")
    assert group.body["name"] == deployment.outputs["AZURE_RESOURCE_GROUP"]
    assert group.body["tags"] == {"azd-env-name": "voicelive"}
    registry = deployment.one("Microsoft.ContainerRegistry/registries")
    assert registry.body["name"] == deployment.outputs["AZURE_CONTAINER_REGISTRY_NAME"]


def test_only_one_host_is_deployed() -> None:
    assert not hosted("appservice").of("Microsoft.App/containerApps")
    assert not hosted("containerapp").of("Microsoft.Web/sites")


# --- no keys ----------------------------------------------------------------------------------------------------


def test_keys_and_passwords_are_switched_off() -> None:
    deployment = hosted("appservice")
    account = properties(deployment.one("Microsoft.CognitiveServices/accounts"))
    assert account["disableLocalAuth"] is True
    assert account["customSubDomainName"] == deployment.one("Microsoft.CognitiveServices/accounts").body["name"]
    assert properties(deployment.one("Microsoft.ContainerRegistry/registries"))["adminUserEnabled"] is False
    assert (
        properties(deployment.one("Microsoft.OperationalInsights/workspaces"))["features"]["disableLocalAuth"]
        is True
    )
    policies = deployment.of("Microsoft.Web/sites/basicPublishingCredentialsPolicies")
    assert {each.body["name"]: properties(each) for each in policies} == {
        "scm": {"allow": False},
        "ftp": {"allow": False},
    }
    text = "".join(path.read_text(encoding="utf-8") for path in [*FILES, PARAMETERS])
    assert re.findall(r"list(?:Keys|Credentials)|(?i:api[_-]?key|password\w*\s*:)", text) == []


@pytest.mark.parametrize("host", HOSTS)
def test_the_identity_has_three_roles_each_on_one_resource(host: str) -> None:
    deployment = hosted(host)
    identity = deployment.one("Microsoft.ManagedIdentity/userAssignedIdentities")
    registry = deployment.one("Microsoft.ContainerRegistry/registries")
    account = deployment.one("Microsoft.CognitiveServices/accounts")
    assigned = deployment.of("Microsoft.Authorization/roleAssignments")
    given = {(properties(each)["roleDefinitionId"].rpartition("/")[2], each.scope) for each in assigned}
    assert given == {
        (ROLES["AcrPull"], registry.id),
        (ROLES["Cognitive Services User"], account.id),
        (ROLES["Azure AI User"], account.id),
    }
    assert len({each.body["name"] for each in assigned}) == len(assigned)
    principal = Unknown(f"<{identity.body['name']}.principalId>")
    assert {properties(each)["principalId"] for each in assigned} == {principal}
    assert {properties(each)["principalType"] for each in assigned} == {"ServicePrincipal"}


@pytest.mark.parametrize("host", HOSTS)
def test_the_app_pulls_and_talks_as_that_identity(host: str) -> None:
    deployment = hosted(host)
    identity = deployment.one("Microsoft.ManagedIdentity/userAssignedIdentities")
    client = f"<{identity.body['name']}.clientId>"
    app = (deployment.of("Microsoft.Web/sites") or deployment.of("Microsoft.App/containerApps"))[0]
    assert app.body["identity"] == {"type": "UserAssigned", "userAssignedIdentities": {identity.id: {}}}
    assert environment_of(deployment)["AZURE_CLIENT_ID"] == client
    if host == "appservice":
        config = properties(app)["siteConfig"]
        assert config["acrUseManagedIdentityCreds"] is True
        assert config["acrUserManagedIdentityID"] == client
        assert config["linuxFxVersion"] == f"DOCKER|{IMAGE}"
    else:
        registries = properties(app)["configuration"]["registries"]
        server = deployment.outputs["AZURE_CONTAINER_REGISTRY_ENDPOINT"]
        assert registries == [{"server": server, "identity": identity.id}]
        assert properties(app)["template"]["containers"][0]["image"] == IMAGE


# --- the app ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", HOSTS)
def test_the_app_knows_where_and_as_what_it_runs(host: str) -> None:
    deployment = hosted(host, SESSIONS_PER_INSTANCE="40", DRAIN_SECONDS="60")
    environ = environment_of(deployment)
    assert environ["AZURE_VOICELIVE_ENDPOINT"] == deployment.outputs["AZURE_VOICELIVE_ENDPOINT"]
    assert environ["HOST"] == "0.0.0.0"
    assert environ["PORT"] == "8000"
    assert environ["PROXIES"] == "1"
    assert (environ["SESSIONS"], environ["DRAIN_S"]) == ("40", "60")
    assert all(isinstance(value, str) for value in environ.values())
    if host == "appservice":
        assert f"https://{environ['ALLOWED_HOSTS']}" == deployment.outputs["APP_URL"]
    else:
        name = deployment.outputs["APP_RESOURCE_NAME"]
        assert re.fullmatch(rf"{name}\.<cae-\w+\.defaultDomain>", environ["ALLOWED_HOSTS"])


@pytest.mark.parametrize("host", HOSTS)
def test_settings_of_another_app_are_added_and_win(host: str) -> None:
    environ = environment_of(
        hosted(host, APP_SETTINGS='{"VOICE_LIVE_VOICE": "alloy", "ALLOWED_HOSTS": "talk.example"}')
    )
    assert environ["VOICE_LIVE_VOICE"] == "alloy"
    assert environ["ALLOWED_HOSTS"] == "talk.example"
    assert "AZURE_CLIENT_ID" in environ


def test_app_service_keeps_web_sockets_open_and_on_one_instance() -> None:
    deployment = hosted("appservice", DRAIN_SECONDS="100")
    site = properties(deployment.one("Microsoft.Web/sites"))
    config = site["siteConfig"]
    assert config["webSocketsEnabled"] is True
    assert config["alwaysOn"] is True
    assert config["healthCheckPath"] == "/health"
    assert site["clientAffinityEnabled"] is True
    assert site["httpsOnly"] is True
    environ = environment_of(deployment)
    assert environ["WEBSITES_PORT"] == environ["PORT"]
    assert environ["WEBSITES_CONTAINER_STOP_TIME_LIMIT"] == "120"  # the most that there is
    assert environ["WEBSITE_PROACTIVE_AUTOHEAL_ENABLED"] == "false"
    assert properties(deployment.one("Microsoft.Web/serverfarms"))["reserved"] is True


def test_container_apps_keeps_web_sockets_on_one_replica() -> None:
    app = properties(hosted("containerapp", DRAIN_SECONDS="100").one("Microsoft.App/containerApps"))
    ingress = app["configuration"]["ingress"]
    assert ingress["stickySessions"] == {"affinity": "sticky"}
    assert app["configuration"]["activeRevisionsMode"] == "Single"
    assert ingress["external"] is True
    assert ingress["allowInsecure"] is False
    probes = app["template"]["containers"][0]["probes"]
    assert {probe["type"] for probe in probes} == {"Startup", "Liveness", "Readiness"}
    assert {(probe["httpGet"]["path"], probe["httpGet"]["port"]) for probe in probes} == {("/health", 8000)}
    assert ingress["targetPort"] == 8000
    assert app["template"]["terminationGracePeriodSeconds"] == 120


def test_the_port_is_the_same_everywhere() -> None:
    environ = environment_of(hosted("appservice", APP_PORT="5000"))
    assert environ["PORT"] == environ["WEBSITES_PORT"] == "5000"
    app = properties(hosted("containerapp", APP_PORT="5000").one("Microsoft.App/containerApps"))
    assert app["configuration"]["ingress"]["targetPort"] == 5000
    assert {probe["httpGet"]["port"] for probe in app["template"]["containers"][0]["probes"]} == {5000}


# --- scale ------------------------------------------------------------------------------------------------------


def test_app_service_scales_on_conversations() -> None:
    limits = {"SESSIONS_PER_INSTANCE": "40", "MIN_INSTANCES": "2", "MAX_INSTANCES": "5"}
    deployment = hosted("appservice", **limits)
    plan = deployment.one("Microsoft.Web/serverfarms")
    assert plan.body["sku"] == {"name": "P0v3", "capacity": 2}
    scale = properties(deployment.one("Microsoft.Insights/autoscalesettings"))
    assert scale["targetResourceUri"] == plan.id
    (profile,) = scale["profiles"]
    assert profile["capacity"] == {"minimum": "2", "maximum": "5", "default": "2"}
    rules = {
        (rule["metricTrigger"]["metricName"], rule["scaleAction"]["direction"]): rule["metricTrigger"]["threshold"]
        for rule in profile["rules"]
    }
    assert rules == {
        ("SocketInboundAll", "Increase"): 28,
        ("SocketInboundAll", "Decrease"): 12,
        ("CpuPercentage", "Increase"): 70,
        ("CpuPercentage", "Decrease"): 30,
    }
    assert {rule["metricTrigger"]["metricResourceUri"] for rule in profile["rules"]} == {plan.id}


@pytest.mark.parametrize("sessions", ["1", "10", "50", "500"])
def test_scaling_in_does_not_call_for_scaling_out(sessions: str) -> None:
    """The load of two instances that may become one is less than what one of them may have."""
    deployment = hosted("appservice", SESSIONS_PER_INSTANCE=sessions)
    (profile,) = properties(deployment.one("Microsoft.Insights/autoscalesettings"))["profiles"]
    thresholds: dict[str, dict[str, int]] = {}
    for rule in profile["rules"]:
        trigger = rule["metricTrigger"]
        thresholds.setdefault(trigger["metricName"], {})[rule["scaleAction"]["direction"]] = trigger["threshold"]
    for each in thresholds.values():
        assert 2 * each["Decrease"] <= each["Increase"]


def test_equal_limits_mean_no_scaling() -> None:
    deployment = hosted("appservice", MIN_INSTANCES="1", MAX_INSTANCES="1", PLAN_SKU="B1")
    assert deployment.of("Microsoft.Insights/autoscalesettings") == []


def test_container_apps_scales_on_conversations() -> None:
    limits = {"SESSIONS_PER_INSTANCE": "40", "MIN_INSTANCES": "2", "MAX_INSTANCES": "5"}
    scale = properties(hosted("containerapp", **limits).one("Microsoft.App/containerApps"))["template"]["scale"]
    assert (scale["minReplicas"], scale["maxReplicas"]) == (2, 5)
    assert {rule["name"]: rule.get("http") or rule["custom"] for rule in scale["rules"]} == {
        "conversations": {"metadata": {"concurrentRequests": "40"}},
        "processor": {"type": "cpu", "metadata": {"type": "Utilization", "value": "60"}},
    }


# --- models and logs --------------------------------------------------------------------------------------------


def test_a_model_is_deployed_or_not() -> None:
    assert deployed(DEPLOY_MODEL="false").of("Microsoft.CognitiveServices/accounts/deployments") == []
    kind = "Microsoft.CognitiveServices/accounts/deployments"
    model = properties(deployed().one(kind))["model"]
    assert model == {"format": "OpenAI", "name": "gpt-realtime"}
    chosen = deployed(MODEL_NAME="gpt-4.1", MODEL_VERSION="2025-04-14", MODEL_CAPACITY="7").one(kind)
    assert properties(chosen)["model"] == {"format": "OpenAI", "name": "gpt-4.1", "version": "2025-04-14"}
    assert chosen.body["sku"] == {"name": "GlobalStandard", "capacity": 7}


@pytest.mark.parametrize("host", HOSTS)
def test_what_the_container_says_goes_to_the_workspace(host: str) -> None:
    deployment = hosted(host)
    workspace = deployment.one("Microsoft.OperationalInsights/workspaces").id
    settings = deployment.of("Microsoft.Insights/diagnosticSettings")
    assert {properties(each)["workspaceId"] for each in settings} == {workspace}
    categories = {log["category"] for each in settings for log in properties(each)["logs"]}
    assert ({"AppServiceConsoleLogs", "ContainerAppConsoleLogs"} & categories) != set()
