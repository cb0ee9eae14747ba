// The container on App Service for Linux.
// https://learn.microsoft.com/azure/app-service/configure-custom-container

param name string
param planName string
param location string
param tags object

param image string
param port int
param settings object

@description('Resource id of the identity that pulls the image and talks to the Foundry resource.')
param identityId string
param identityClientId string

@description('Log Analytics workspace for what the container and the platform say.')
param workspaceId string

param planSku string
param minInstances int
param maxInstances int
param sessionsPerInstance int
param drainSeconds int

resource plan 'Microsoft.Web/serverfarms@2024-04-01' = {
  name: planName
  location: location
  tags: tags
  kind: 'linux'
  sku: {
    name: planSku
    capacity: minInstances
  }
  properties: {
    reserved: true // Linux
  }
}

resource site 'Microsoft.Web/sites@2024-04-01' = {
  name: name
  location: location
  tags: tags
  kind: 'app,linux,container'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    // A ticket is handed out and taken back by one process: the WebSocket must reach the instance that gave the page.
    clientAffinityEnabled: true
    siteConfig: {
      linuxFxVersion: 'DOCKER|${image}'
      acrUseManagedIdentityCreds: true
      acrUserManagedIdentityID: identityClientId
      webSocketsEnabled: true
      alwaysOn: true
      healthCheckPath: '/health'
      http20Enabled: false // nothing here gains by it, and a WebSocket is an upgrade of HTTP/1.1
      ftpsState: 'Disabled'
      minTlsVersion: '1.2'
    }
  }

  // https://learn.microsoft.com/azure/app-service/reference-app-settings
  resource appSettings 'config' = {
    name: 'appsettings'
    properties: union(
      {
        ALLOWED_HOSTS: site.properties.defaultHostName
        WEBSITES_PORT: string(port)
        WEBSITES_ENABLE_APP_SERVICE_STORAGE: 'false'
        // Between SIGTERM and SIGKILL: longer than the app drains. 5 s if it is not set, 120 s at most.
        WEBSITES_CONTAINER_STOP_TIME_LIMIT: string(drainSeconds + 20)
        // It restarts an instance most of whose requests take minutes, as a conversation does.
        WEBSITE_PROACTIVE_AUTOHEAL_ENABLED: 'false'
      },
      settings
    )
  }

  // No passwords for deployment either: images come from the registry.
  // https://learn.microsoft.com/azure/app-service/configure-basic-auth-disable
  resource scm 'basicPublishingCredentialsPolicies' = {
    name: 'scm'
    properties: {
      allow: false
    }
  }

  resource ftp 'basicPublishingCredentialsPolicies' = {
    name: 'ftp'
    properties: {
      allow: false
    }
  }
}

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'logs'
  scope: site
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        category: 'AppServiceConsoleLogs'
        enabled: true
      }
      {
        category: 'AppServicePlatformLogs'
        enabled: true
      }
    ]
  }
}

// Rules and not "automatic scaling": that one follows HTTP requests and wants no affinity, and a conversation is one
// request for many minutes. The rules count what a conversation keeps busy: one inbound socket, and processor time.
// One rule is enough to scale out, all must agree to scale in.
// https://learn.microsoft.com/azure/azure-monitor/autoscale/autoscale-understanding-settings
var metrics = [
  {
    // https://learn.microsoft.com/azure/azure-monitor/reference/supported-metrics/microsoft-web-serverfarms-metrics
    name: 'SocketInboundAll'
    above: sessionsPerInstance * 7 / 10
    below: sessionsPerInstance * 3 / 10
  }
  {
    name: 'CpuPercentage'
    above: 70
    below: 30
  }
]

var scaleOut = [
  for metric in metrics: {
    metricTrigger: {
      metricName: metric.name
      metricNamespace: 'microsoft.web/serverfarms'
      metricResourceUri: plan.id
      timeGrain: 'PT1M'
      statistic: 'Average' // over the instances
      timeWindow: 'PT5M'
      timeAggregation: 'Average' // over the minutes
      operator: 'GreaterThan'
      threshold: metric.above
    }
    scaleAction: {
      direction: 'Increase'
      type: 'ChangeCount'
      value: '1'
      cooldown: 'PT5M'
    }
  }
]

var scaleIn = [
  for metric in metrics: {
    metricTrigger: {
      metricName: metric.name
      metricNamespace: 'microsoft.web/serverfarms'
      metricResourceUri: plan.id
      timeGrain: 'PT1M'
      statistic: 'Average'
      timeWindow: 'PT15M'
      timeAggregation: 'Average'
      operator: 'LessThan'
      threshold: metric.below
    }
    scaleAction: {
      direction: 'Decrease'
      type: 'ChangeCount'
      value: '1'
      cooldown: 'PT15M'
    }
  }
]

resource autoscale 'Microsoft.Insights/autoscalesettings@2022-10-01' = if (maxInstances > minInstances) {
  name: 'scale-${planName}'
  location: location
  tags: tags
  properties: {
    enabled: true
    targetResourceUri: plan.id
    profiles: [
      {
        name: 'conversations'
        capacity: {
          minimum: string(minInstances)
          maximum: string(maxInstances)
          default: string(minInstances)
        }
        rules: concat(scaleOut, scaleIn)
      }
    ]
  }
}

output url string = 'https://${site.properties.defaultHostName}'
