// What azd hands to main.bicep. Each value is a variable of the azd environment: `azd env set NAME VALUE`.
using './main.bicep'

param environmentName = readEnvironmentVariable('AZURE_ENV_NAME', 'voicelive')
param location = readEnvironmentVariable('AZURE_LOCATION', 'eastus2')

param host = readEnvironmentVariable('APP_HOST', 'appservice')
param appName = readEnvironmentVariable('APP_NAME', 'web-app')
param image = readEnvironmentVariable('APP_IMAGE', '')
param appSettings = json(readEnvironmentVariable('APP_SETTINGS', '{}'))
param port = int(readEnvironmentVariable('APP_PORT', '8000'))

param sessionsPerInstance = int(readEnvironmentVariable('SESSIONS_PER_INSTANCE', '50'))
param minInstances = int(readEnvironmentVariable('MIN_INSTANCES', '1'))
param maxInstances = int(readEnvironmentVariable('MAX_INSTANCES', '3'))
param drainSeconds = int(readEnvironmentVariable('DRAIN_SECONDS', '90'))
param planSku = readEnvironmentVariable('PLAN_SKU', 'P0v3')
param replicaCpu = readEnvironmentVariable('REPLICA_CPU', '1.0')
param replicaMemory = readEnvironmentVariable('REPLICA_MEMORY', '2Gi')

param deployModel = bool(readEnvironmentVariable('DEPLOY_MODEL', 'true'))
param modelName = readEnvironmentVariable('MODEL_NAME', 'gpt-realtime')
param modelVersion = readEnvironmentVariable('MODEL_VERSION', '')
param modelSku = readEnvironmentVariable('MODEL_SKU', 'GlobalStandard')
param modelCapacity = int(readEnvironmentVariable('MODEL_CAPACITY', '1'))
