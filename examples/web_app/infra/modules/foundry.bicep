// The Foundry resource that Voice Live runs in, a model deployment in it, and the two roles that Voice Live asks for.
// https://learn.microsoft.com/azure/ai-services/speech-service/voice-live-how-to

@minLength(2)
@maxLength(64)
param name string
param location string
param tags object

@description('Who may talk to it.')
param principalId string

@description('Log Analytics workspace for its diagnostics.')
param workspaceId string

param deployModel bool
param modelName string
param modelVersion string
param modelSku string
param modelCapacity int

// https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/ai-machine-learning
// "Azure AI User" is also shown as "Foundry User"; the id is the same.
var roles = {
  cognitiveServicesUser: 'a97b65f3-24c7-4388-baec-2e87135dc908'
  azureAiUser: '53ca6127-db72-4b80-b1b0-d745d6d5456d'
}

resource account 'Microsoft.CognitiveServices/accounts@2025-06-01' = {
  name: name
  location: location
  tags: tags
  kind: 'AIServices'
  sku: {
    name: 'S0'
  }
  identity: {
    type: 'SystemAssigned' // asked for by allowProjectManagement
  }
  properties: {
    customSubDomainName: name // Entra tokens are accepted at a subdomain of one's own alone
    disableLocalAuth: true // no keys
    publicNetworkAccess: 'Enabled'
    allowProjectManagement: true // what makes it a Foundry resource
  }
}

resource deployment 'Microsoft.CognitiveServices/accounts/deployments@2025-06-01' = if (deployModel) {
  parent: account
  name: modelName
  sku: {
    name: modelSku
    capacity: modelCapacity
  }
  properties: {
    model: union(
      {
        format: 'OpenAI'
        name: modelName
      },
      empty(modelVersion) ? {} : { version: modelVersion }
    )
  }
}

resource access 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in items(roles): {
    name: guid(account.id, principalId, role.value)
    scope: account
    properties: {
      principalId: principalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role.value)
    }
  }
]

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'logs'
  scope: account
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        category: 'Audit'
        enabled: true
      }
    ]
  }
}

output name string = account.name
output endpoint string = 'https://${account.properties.customSubDomainName}.services.ai.azure.com'
