// Everything the app needs in Azure: the Foundry resource that answers, a registry with the image, an identity
// instead of keys, logs, and App Service or Container Apps to run it. `deploy.sh` deploys it twice: first without an
// image, to have a registry to build one in, then with it.

targetScope = 'subscription'

// --- what is deployed ---

@description('Name of the azd environment. The resource group and every other name come from it.')
@minLength(1)
@maxLength(64)
param environmentName string

@description('Region. Voice Live must be there: https://learn.microsoft.com/azure/ai-services/speech-service/regions?tabs=voice-live')
@minLength(1)
param location string

@description('What runs the container.')
@allowed([
  'appservice'
  'containerapp'
])
param host string = 'appservice'

@description('Name of the app: lower-case letters, digits and hyphens.')
@minLength(2)
@maxLength(15)
param appName string = 'web-app'

@description('The image that the app runs, as registry/name:tag. Empty: everything but the app.')
param image string = ''

@description('Further environment variables of the app. They win over those that are set here.')
param appSettings object = {}

@description('The port that the container listens on.')
@minValue(1)
@maxValue(65535)
param port int = 8000

// --- how many people may talk ---

@description('Conversations that one instance bears at once; further visitors are told that the server is full.')
@minValue(1)
param sessionsPerInstance int = 50

@description('Fewest instances. At least 1: a visitor should not wait for a machine to start.')
@minValue(1)
param minInstances int = 1

@description('Most instances. Equal to minInstances: no scaling.')
@minValue(1)
@maxValue(30)
param maxInstances int = 3

@description('How long running conversations may go on when an instance stops. App Service kills it after 120 s.')
@minValue(1)
@maxValue(100)
param drainSeconds int = 90

@description('Size of an App Service instance. Autoscale needs the Standard tier or higher.')
param planSku string = 'P0v3'

@description('Cores of a Container Apps replica.')
param replicaCpu string = '1.0'

@description('Memory of a Container Apps replica. The consumption plan wants 2 GiB a core.')
param replicaMemory string = '2Gi'

// --- a model of your own ---

@description('Deploy a model. Voice Live brings its own models; this one is for its "bring your own model" profiles.')
param deployModel bool = true

@description('Name of the model, and of its deployment.')
param modelName string = 'gpt-realtime'

@description('Version of the model. Empty: the default one of the service.')
param modelVersion string = ''

@description('How the model is billed and where it runs.')
param modelSku string = 'GlobalStandard'

@description('Quota of the deployment, in the units of its SKU.')
@minValue(1)
param modelCapacity int = 1

// azd finds what belongs to an environment by this tag, also to remove it.
var tags = {
  'azd-env-name': environmentName
}
var token = toLower(uniqueString(subscription().id, environmentName, location))
var appResourceName = '${host == 'appservice' ? 'app' : 'ca'}-${appName}-${token}'

resource group 'Microsoft.Resources/resourceGroups@2024-03-01' = {
  name: 'rg-${environmentName}'
  location: location
  tags: tags
}

module identity 'modules/identity.bicep' = {
  name: 'identity'
  scope: group
  params: {
    name: 'id-${token}'
    location: location
    tags: tags
  }
}

module logs 'modules/logs.bicep' = {
  name: 'logs'
  scope: group
  params: {
    name: 'log-${token}'
    location: location
    tags: tags
  }
}

module registry 'modules/registry.bicep' = {
  name: 'registry'
  scope: group
  params: {
    name: 'cr${token}'
    location: location
    tags: tags
    principalId: identity.outputs.principalId
  }
}

module foundry 'modules/foundry.bicep' = {
  name: 'foundry'
  scope: group
  params: {
    name: 'aif-${token}'
    location: location
    tags: tags
    principalId: identity.outputs.principalId
    workspaceId: logs.outputs.id
    deployModel: deployModel
    modelName: modelName
    modelVersion: modelVersion
    modelSku: modelSku
    modelCapacity: modelCapacity
  }
}

// What the app reads. No key: AZURE_CLIENT_ID names the identity that DefaultAzureCredential shall use, and
// AZURE_TOKEN_CREDENTIALS spares it from trying the others.
// https://learn.microsoft.com/azure/developer/python/sdk/authentication/credential-chains
var settings = union(
  {
    AZURE_CLIENT_ID: identity.outputs.clientId
    AZURE_TOKEN_CREDENTIALS: 'ManagedIdentityCredential'
    AZURE_VOICELIVE_ENDPOINT: foundry.outputs.endpoint
    HOST: '0.0.0.0'
    PORT: string(port)
    PROXIES: '1' // both platforms stand in front of the container and append to X-Forwarded-For
    SESSIONS: string(sessionsPerInstance)
    DRAIN_S: string(drainSeconds)
  },
  appSettings
)

module appService 'modules/appservice.bicep' = if (host == 'appservice' && !empty(image)) {
  name: 'appservice'
  scope: group
  params: {
    name: appResourceName
    planName: 'plan-${token}'
    location: location
    tags: tags
    image: image
    port: port
    settings: settings
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    workspaceId: logs.outputs.id
    planSku: planSku
    minInstances: minInstances
    maxInstances: maxInstances
    sessionsPerInstance: sessionsPerInstance
    drainSeconds: drainSeconds
  }
}

module containerApp 'modules/containerapp.bicep' = if (host == 'containerapp' && !empty(image)) {
  name: 'containerapp'
  scope: group
  params: {
    name: appResourceName
    environmentName: 'cae-${token}'
    location: location
    tags: tags
    image: image
    port: port
    settings: settings
    identityId: identity.outputs.id
    registryServer: registry.outputs.server
    workspaceId: logs.outputs.id
    cpu: replicaCpu
    memory: replicaMemory
    minInstances: minInstances
    maxInstances: maxInstances
    sessionsPerInstance: sessionsPerInstance
    drainSeconds: drainSeconds
  }
}

// azd keeps these in the environment; deploy.sh reads them there.
output AZURE_RESOURCE_GROUP string = group.name
output AZURE_CONTAINER_REGISTRY_NAME string = registry.outputs.name
output AZURE_CONTAINER_REGISTRY_ENDPOINT string = registry.outputs.server
output AZURE_VOICELIVE_ENDPOINT string = foundry.outputs.endpoint
output APP_HOST string = host
output APP_RESOURCE_NAME string = appResourceName
output APP_URL string = empty(image) ? '' : host == 'appservice' ? appService!.outputs.url : containerApp!.outputs.url
