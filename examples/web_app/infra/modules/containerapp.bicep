// The container on Container Apps.
// https://learn.microsoft.com/azure/container-apps/ingress-overview

@maxLength(32)
param name string
param environmentName string
param location string
param tags object

param image string
param port int
param settings object

@description('Resource id of the identity that pulls the image and talks to the Foundry resource.')
param identityId string
param registryServer string

@description('Log Analytics workspace for what the container and the platform say.')
param workspaceId string

param cpu string
param memory string
param minInstances int
param maxInstances int
param sessionsPerInstance int
param drainSeconds int

resource managedEnvironment 'Microsoft.App/managedEnvironments@2024-03-01' = {
  name: environmentName
  location: location
  tags: tags
  properties: {
    appLogsConfiguration: {
      destination: 'azure-monitor' // by diagnostic settings, so that no workspace key is needed
    }
    workloadProfiles: [
      {
        name: 'Consumption'
        workloadProfileType: 'Consumption'
      }
    ]
  }
}

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'logs'
  scope: managedEnvironment
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        category: 'ContainerAppConsoleLogs'
        enabled: true
      }
      {
        category: 'ContainerAppSystemLogs'
        enabled: true
      }
    ]
  }
}

var health = {
  path: '/health'
  port: port
}

resource app 'Microsoft.App/containerApps@2024-03-01' = {
  name: name
  location: location
  tags: tags
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    environmentId: managedEnvironment.id
    configuration: {
      activeRevisionsMode: 'Single' // affinity is for a single revision alone
      ingress: {
        external: true
        allowInsecure: false
        targetPort: port
        transport: 'http' // WebSockets are part of it
        // A ticket is handed out and taken back by one process: the WebSocket must reach the replica that gave the
        // page. https://learn.microsoft.com/azure/container-apps/sticky-sessions
        stickySessions: {
          affinity: 'sticky'
        }
      }
      registries: [
        {
          server: registryServer
          identity: identityId
        }
      ]
    }
    template: {
      containers: [
        {
          name: 'app'
          image: image
          resources: {
            cpu: json(cpu) // a number with a fraction, which Bicep has no literal for
            memory: memory
          }
          env: map(
            items(union({ ALLOWED_HOSTS: '${name}.${managedEnvironment.properties.defaultDomain}' }, settings)),
            setting => {
              name: setting.key
              value: setting.value
            }
          )
          probes: [
            {
              type: 'Startup'
              httpGet: health
              periodSeconds: 3
              failureThreshold: 10
            }
            {
              type: 'Liveness'
              httpGet: health
              periodSeconds: 15
              timeoutSeconds: 5
            }
            {
              type: 'Readiness'
              httpGet: health
              periodSeconds: 10
              timeoutSeconds: 5
            }
          ]
        }
      ]
      // Between SIGTERM and SIGKILL: longer than the app drains.
      terminationGracePeriodSeconds: drainSeconds + 20
      scale: {
        minReplicas: minInstances
        maxReplicas: maxInstances
        // The larger answer of the two rules counts. The first is about requests that arrive, and by the
        // documentation a WebSocket is one of those when it opens and not while it lasts; the second is about what
        // open conversations cost, so that a replica full of talk is neither alone nor taken away.
        // https://learn.microsoft.com/azure/container-apps/scale-app
        rules: [
          {
            name: 'conversations'
            http: {
              metadata: {
                concurrentRequests: string(sessionsPerInstance)
              }
            }
          }
          {
            name: 'processor'
            custom: {
              type: 'cpu'
              metadata: {
                type: 'Utilization'
                value: '60'
              }
            }
          }
        ]
      }
    }
  }
}

output url string = 'https://${app.properties.configuration.ingress.fqdn}'
