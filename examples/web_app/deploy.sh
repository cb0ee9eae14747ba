#!/usr/bin/env bash
# Deploys an app to Azure, builds its image anew, or removes it. See usage() below, and README.md.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
library=$here/../.. # where the library's own source is, if this folder is still part of it

usage() {
  cat <<'END'
Usage: deploy.sh [full | image | down | context DIR] [options]

  full         everything: the resources, the image, the app. Again: what has changed
  image        build the image anew and run it; nothing else is touched
  down         remove everything, after asking
  context DIR  only put into DIR what the image is built from, for: docker build DIR
               (without any of these: a menu)

  --app DIR            folder with app.py and requirements.txt         [this folder]
  --environment NAME   azd environment: one for each app and stage     [AZURE_ENV_NAME, or voicelive-<folder>]
  --location REGION    for a new environment; Voice Live must be there [AZURE_LOCATION, or eastus2]
  --host KIND          appservice or containerapp, likewise            [APP_HOST, or appservice]
  --yes                do not ask before removing

Exit status: 1 not confirmed, 2 wrong usage, 3 a tool is missing, 4 not logged in, 5 no subscription,
6 not deployed yet, 7 the image was not built, 8 Azure refused something else.
END
}

say() { printf '\n==> %s\n' "$*"; }

fail() { # STATUS TEXT
  printf 'deploy.sh: %s\n' "$2" >&2
  exit "$1"
}

# --- what is asked for ------------------------------------------------------------------------------------------

action='' app=$here target='' confirmed='' host=''
location=${AZURE_LOCATION:-eastus2}
environment=${AZURE_ENV_NAME:-}

read_arguments() {
  while (($#)); do
    case $1 in
      --app | --environment | --location | --host)
        (($# > 1)) || fail 2 "$1 needs a value"
        case $1 in
          --app) app=$(cd "$2" 2>/dev/null && pwd) || fail 2 "--app: there is no folder $2" ;;
          --environment) environment=$2 ;;
          --location) location=$2 ;;
          --host) host=$2 ;;
        esac
        shift
        ;;
      --yes) confirmed=yes ;;
      -h | --help) usage && exit 0 ;;
      full | image | down | context)
        [[ -z $action ]] || fail 2 "$action or $1, not both"
        action=$1
        if [[ $action == context ]]; then
          (($# > 1)) || fail 2 'context needs a folder'
          target=$2
          shift
        fi
        ;;
      *) fail 2 "what is $1? deploy.sh --help says what there is" ;;
    esac
    shift
  done
}

read_menu() {
  local choice
  printf '%s\n' '1) full:  resources, image and app' '2) image: build the image anew and run it' \
    '3) down:  remove everything' '4) nothing'
  printf 'Your choice: '
  read -r choice || fail 2 'nothing was chosen'
  case $choice in
    1) action=full ;;
    2) action=image ;;
    3) action=down ;;
    4) exit 0 ;;
    *) fail 2 "there is no choice '$choice'" ;;
  esac
}

check_request() {
  case ${host:-${APP_HOST:-appservice}} in
    appservice | containerapp) ;;
    *) fail 2 "--host is appservice or containerapp, not ${host:-$APP_HOST}" ;;
  esac
  [[ -f $app/requirements.txt ]] || fail 2 "$app is no app: it has no requirements.txt"
  local folder
  folder=$(basename "$app" | tr '[:upper:]_' '[:lower:]-')
  name=${folder:0:15}
  environment=${environment:-voicelive-$folder}
}

forget_empty_variables() { # a pipeline sets them for what nobody chose; infra/main.bicepparam has the defaults
  local variable
  while read -r variable; do
    [[ -n ${!variable-} ]] || unset "$variable"
  done < <(sed -n "s/.*readEnvironmentVariable('\([A-Z_]*\)'.*/\1/p" "$here/infra/main.bicepparam")
}

# --- tools and accounts -----------------------------------------------------------------------------------------

check_tools() {
  command -v az >/dev/null || fail 3 'az is missing: https://learn.microsoft.com/cli/azure/install-azure-cli'
  command -v azd >/dev/null || fail 3 'azd is missing: https://aka.ms/install-azd'
}

check_accounts() {
  local account tenant
  account=$(az account show --query "join(' ', [id, tenantId])" --output tsv 2>/dev/null) ||
    fail 4 'az is not logged in. Run: az login'
  read -r subscription tenant <<<"$account"
  # An account without a subscription is shown with its tenant's id in the place of one.
  [[ $subscription != "$tenant" ]] || fail 5 'This account has no subscription. Choose another: az login, az account set'
  azd auth token >/dev/null 2>&1 || fail 4 'azd is not logged in. Run: azd auth login'
}

# --- the azd environment: what was chosen, and what azd found out -----------------------------------------------

in_environment() { azd "$@" --environment "$environment" --cwd "$here" --no-prompt; }

value() { # NAME: prints a value of the environment, or nothing
  local found
  found=$(in_environment env get-value "$1" 2>/dev/null) || found=''
  printf '%s' "$found"
}

remember() { # NAME VALUE
  in_environment env set "$1" "$2" || fail 8 "azd does not take $1"
}

open_environment() {
  if [[ -z $(value AZURE_ENV_NAME) ]]; then
    say "New environment $environment in $location"
    azd env new "$environment" --subscription "$subscription" --location "$location" --cwd "$here" --no-prompt ||
      fail 8 "azd could not make the environment $environment"
    remember APP_HOST "${host:-${APP_HOST:-appservice}}"
    remember APP_NAME "$name"
    # Somebody else, or a pipeline, may have deployed under this name: what came of it is in Azure.
    if [[ $action == image ]]; then
      in_environment env refresh || fail 6 "Nothing is deployed as $environment. Run: deploy.sh full"
    fi
  fi
  subscription=$(value AZURE_SUBSCRIPTION_ID)
  local there
  there=$(value APP_HOST)
  [[ -z $host || $host == "$there" ]] ||
    fail 2 "$environment runs on $there. Take another --environment, or remove this one first: deploy.sh down"
  host=$there
}

# --- steps ------------------------------------------------------------------------------------------------------

provision() {
  in_environment provision || fail 8 'azd provision failed, see above. Running this again goes on where it stopped.'
}

put_together() { # DIR: everything that the image is built from
  mkdir -p "$1"
  cp -R "$app/." "$1"
  [[ -f $1/Dockerfile ]] || cp "$here/Dockerfile" "$here/.dockerignore" "$1"
  if grep -qs '^name = "voicelive-agent"' "$library/pyproject.toml"; then
    "${PYTHON:-python3}" -m pip wheel --quiet --no-deps --wheel-dir "$1/wheels" "$library" ||
      fail 7 'The library could not be packed, see above. PYTHON=... chooses another Python with pip.'
  fi
}

build() { # an image with a name of its own each time, so that no instance runs another than the one that was meant
  local registry server
  registry=$(value AZURE_CONTAINER_REGISTRY_NAME)
  server=$(value AZURE_CONTAINER_REGISTRY_ENDPOINT)
  [[ -n $registry && -n $server ]] || fail 6 "Nothing is deployed as $environment. Run: deploy.sh full"
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  put_together "$scratch"
  image=$server/$name:$(date -u +%Y%m%d%H%M%S)
  say "Building $image"
  az acr build --registry "$registry" --subscription "$subscription" --image "${image#*/}" "$scratch" ||
    fail 7 'The image was not built, see above. ACR Tasks are not available to every kind of subscription.'
  remember APP_IMAGE "$image"
}

refused() { fail 8 "$1 does not take the image, see above"; }

run_image() { # the new image in the app that is there
  local group app_name
  group=$(value AZURE_RESOURCE_GROUP)
  app_name=$(value APP_RESOURCE_NAME)
  [[ -n $group && -n $app_name ]] || fail 6 "Nothing is deployed as $environment. Run: deploy.sh full"
  local which=(--resource-group "$group" --name "$app_name" --subscription "$subscription")
  say "Running it in $app_name"
  if [[ $host == appservice ]]; then
    az webapp config set "${which[@]}" --linux-fx-version "DOCKER|$image" --output none || refused "$app_name"
    az webapp restart "${which[@]}" || refused "$app_name"
  else
    az containerapp update "${which[@]}" --image "$image" --output none || refused "$app_name"
  fi
}

show_url() {
  say "The app: $(value APP_URL)"
  echo 'A new image takes a few minutes to be pulled and started.'
}

# --- actions ----------------------------------------------------------------------------------------------------

deploy_full() {
  open_environment
  say 'Resources'
  provision # without an image yet, the first time: everything but the app
  build
  say 'App'
  provision
  show_url
}

deploy_image() {
  open_environment
  build
  run_image
  show_url
}

take_down() {
  [[ -n $(value AZURE_ENV_NAME) ]] || fail 6 "There is no environment $environment here"
  if [[ -z $confirmed ]]; then
    local answer=''
    printf 'Everything of %s will be removed for good: app, image, logs, Foundry resource. Sure? [y/N] ' "$environment"
    read -r answer || true
    [[ $answer == [yY]* ]] || fail 1 'Nothing was removed'
  fi
  # Without --purge, the name of the Foundry resource stays taken.
  in_environment down --purge --force || fail 8 'azd down failed, see above. Run it again.'
  remember APP_IMAGE '' # it is gone: a new deployment begins without it
}

main() {
  forget_empty_variables
  read_arguments "$@"
  [[ -n $action ]] || read_menu
  check_request
  if [[ $action == context ]]; then
    put_together "$target"
    return
  fi
  check_tools
  check_accounts
  case $action in
    full) deploy_full ;;
    image) deploy_image ;;
    down) take_down ;;
  esac
}

main "$@"
