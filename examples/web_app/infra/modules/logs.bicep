// Where the logs go. Diagnostic settings send them here; no workspace key is used anywhere.

param name string
param location string
param tags object

@description('How long logs are kept. 30 days are part of the price of taking them in.')
@minValue(30)
@maxValue(730)
param retentionInDays int = 30

resource workspace 'Microsoft.OperationalInsights/workspaces@2023-09-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    sku: {
      name: 'PerGB2018'
    }
    retentionInDays: retentionInDays
    features: {
      disableLocalAuth: true
    }
  }
}

output id string = workspace.id
