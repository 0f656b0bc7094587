import { InvalidArgumentError } from '../base/errors.ts'
import type { ExecutorChoice } from '../executors/choosing.ts'
import type { PullPolicy } from '../executors/containers.ts'
import { enginePlaces, engineSockets } from '../executors/engine-places.ts'

/** Where user code runs. */
export interface ExecutorsConfig {
  readonly choice: ExecutorChoice
  /** `off`: processes of pipelines have none, whatever the machine allows. */
  readonly sandbox: 'auto' | 'off'
  /** Where the container engine may be; none: none is used. */
  readonly engineSockets: readonly string[]
  /** Where any may be, used or not. */
  readonly enginePlaces: readonly string[]
  /** As engines name networks. */
  readonly network: string
  readonly pullPolicy: PullPolicy
}

/** Flags, each empty or undefined where it is not given. */
export interface ExecutorFlags {
  readonly executor?: string | undefined
  readonly sandbox?: string | undefined
  readonly 'container-engine'?: string | undefined
  readonly 'container-network'?: string | undefined
  readonly 'image-pull'?: string | undefined
}

const sandboxes = ['auto', 'off'] as const
const choices = ['auto', 'process', 'container'] as const
const pullPolicies = ['IfNotPresent', 'Always', 'Never'] as const

/** @throws {InvalidArgumentError} with advice. */
export function executorsConfig(
  flags: ExecutorFlags,
  environment: Readonly<Record<string, string | undefined>>,
): ExecutorsConfig {
  const said = (flag: keyof ExecutorFlags): string => {
    const variable = `PACHD_${flag.replaceAll('-', '_').toUpperCase()}`
    return flags[flag] || environment[variable] || ''
  }
  const network = said('container-network') || 'host'
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(network)) {
    throw new InvalidArgumentError(
      `--container-network ${JSON.stringify(network)} is no name of a network: write host, bridge, none, or that of one that the engine has`,
    )
  }
  const sockets = engineSockets(said('container-engine'), environment)
  return {
    choice: oneOf('--executor', choices, said('executor') || 'auto'),
    sandbox: oneOf('--sandbox', sandboxes, said('sandbox') || 'auto'),
    engineSockets: sockets,
    enginePlaces: enginePlaces(sockets, environment),
    network,
    pullPolicy: oneOf('--image-pull', pullPolicies, said('image-pull') || 'IfNotPresent'),
  }
}

function oneOf<Name extends string>(flag: string, names: readonly Name[], text: string): Name {
  const found = names.find((name) => name.toLowerCase() === text.toLowerCase())
  if (found !== undefined) return found
  throw new InvalidArgumentError(`${flag} ${JSON.stringify(text)} is none of ${names.join(', ')}`)
}
