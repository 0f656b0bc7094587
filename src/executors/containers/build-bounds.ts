import { buildCapabilities } from './container-settings.ts'
import type { EngineFacts } from './engine.ts'

/** What the steps of a build may use. */
export interface BuildBounds {
  /** As engines name them, see `ContainerExecutorOptions`. */
  readonly network: string
  readonly memoryBytes: number
  /** A control group that engines make if need be, from the outermost. */
  readonly group?: string | undefined
  /** Of a guard of namespaces. */
  readonly guardOptions: readonly string[]
}

/**
 * Bounds as parameters of the engine's API. Docker takes the network by its name; of Podman that asks
 * for the host's, unless it is told in words of its own. Rights, groups and guards are Podman's alone.
 * Lists are JSON.
 */
export function buildParameters(bounds: BuildBounds, facts: EngineFacts): BuildParameters {
  const { network, memoryBytes, group, guardOptions } = bounds
  return {
    cpushares: buildCpuShares,
    ...(facts.limits.memory && { memory: memoryBytes, memswap: memoryBytes }),
    ...(facts.isPodman ? podmanNetwork(network) : { networkmode: network }),
    ...(facts.isPodman && {
      dropcaps: JSON.stringify(['all']),
      addcaps: JSON.stringify(buildCapabilities),
      securityopt: JSON.stringify(guardOptions),
    }),
    ...(group !== undefined && { cgroupparent: group }),
  }
}

interface BuildParameters extends Partial<NetworkParameters> {
  readonly cpushares: number
  readonly memory?: number
  readonly memswap?: number
  readonly dropcaps?: string
  readonly addcaps?: string
  readonly securityopt?: string
  readonly cgroupparent?: string
}

interface NetworkParameters {
  readonly networkmode: string
  readonly nsoptions?: string
}

/** As a datum has them. */
const buildCpuShares = 512

function podmanNetwork(network: string): NetworkParameters {
  const isHost = network === 'host'
  const isNamed = !['host', 'none', 'bridge'].includes(network)
  return {
    networkmode: isHost
      ? 'NetworkDefault'
      : network === 'none'
        ? 'NetworkDisabled'
        : 'NetworkEnabled',
    nsoptions: JSON.stringify([{ Name: 'network', Host: isHost, Path: isNamed ? network : '' }]),
  }
}
