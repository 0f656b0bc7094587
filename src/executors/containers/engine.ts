import { setMaxListeners } from 'node:events'
import { stat } from 'node:fs/promises'
import { Agent } from 'node:http'
import type { Readable } from 'node:stream'

import type Docker from 'dockerode'

import type { Clock } from '../../base/clock.ts'
import {
  CancelledError,
  DomainError,
  FailedPreconditionError,
  UnavailableError,
} from '../../base/errors.ts'
import { placesOf } from '../engine-storage.ts'
import { unlessAborted } from '../process/unless-aborted.ts'
import {
  dockerGuard,
  type NamespaceGuard,
  podmanGuard,
  type PodmanSecurity,
} from './call-profile.ts'
import { engineError, statusOf } from './engine-errors.ts'
import type { RegistryLogin } from './registry-logins.ts'

/** What an engine says of itself. */
export interface EngineFacts {
  /** `Docker` or `Podman`, with its version. */
  readonly title: string
  readonly isPodman: boolean
  readonly version: string
  /** Users in its containers are other users on this machine. */
  readonly mapsUsers: boolean
  /** It is an ordinary user's. */
  readonly isRootless: boolean
  /** Which of the limits that are asked for it can hold. */
  readonly limits: { readonly memory: boolean; readonly cpu: boolean; readonly processes: boolean }
  /** Of its host: containers see the directories of that one. */
  readonly operatingSystem: string
  /** Where it keeps what containers write, as its host has it. */
  readonly storage: readonly string[]
  readonly namespaceGuard: NamespaceGuard
}

export interface EngineImage {
  readonly id: string
  /** `NAME=value` each. */
  readonly environment: readonly string[]
  readonly isForRoot: boolean
  /** It says how engines are to look, again and again, whether it is well. */
  readonly hasHealthcheck: boolean
}

/** A container as it is seen from the host. */
export interface RunningContainer {
  /** Where what it changes of its image is kept, if it is kept in a directory by itself. */
  readonly upperDirectory: string | undefined
  /** Of its first process, if it runs on this machine. */
  readonly pid: number
}

/** How a container ended. */
export interface ContainerEnd {
  readonly exitCode: number
}

export interface ImageBuild {
  /** A tar archive of the folder. */
  readonly archive: AsyncIterable<Uint8Array>
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  /** Of the API; see `buildParameters`. */
  readonly parameters: object
  readonly onLine: (line: string) => void
  readonly signal: AbortSignal
}

/** Who asks whether there is an engine waits for it, but one under load is not to be taken for none. */
const factsMsMax = 30_000
/** An engine under load answers in seconds. */
const callMsMax = 60_000
/** Of all that a container has written. */
const lookMsMax = 300_000
/** When the server stops. */
const leaveMsMax = 3000
const unbounded = Number.POSITIVE_INFINITY

interface CallBounds {
  readonly msMax?: number
  readonly signal?: AbortSignal
}

/**
 * Docker or Podman by the Docker Engine API. The client library is loaded when there is a socket. An engine
 * that hangs is waited for no longer than a bound of each call, but where it waits for others.
 */
export class Engine implements Disposable {
  /** `unix:///…`, for people. */
  readonly address: string
  readonly #socketPath: string
  readonly #clock: Clock
  /** Ends all calls. */
  readonly #closing = new AbortController()
  #isFound = false

  constructor(socketPath: string, clock: Clock) {
    this.#socketPath = socketPath
    this.#clock = clock
    this.address = `unix://${socketPath}`
    // Each container is waited for.
    setMaxListeners(0, this.#closing.signal)
  }

  /** From now on it has a few seconds for all that is asked of it, then no more. */
  leave(): void {
    const late = this.#clock.sleep(leaveMsMax, this.#closing.signal)
    late.then(() => this.#closing.abort()).catch(() => {})
  }

  [Symbol.dispose](): void {
    this.#closing.abort()
  }

  /** @throws {UnavailableError} when nobody answers there. */
  async facts(): Promise<EngineFacts> {
    return await this.#call(
      'asking for its version',
      async (client) => {
        const version = await client.version()
        const info: EngineInfo = await client.info()
        const isPodman = version.Components?.some(({ Name }) => Name === 'Podman Engine') ?? false
        const security = info.SecurityOptions ?? []
        const podman = isPodman ? await podmanInfo(client, version.Version) : {}
        const isRootless =
          info.Rootless === true || security.some((option) => option.startsWith('name=rootless'))
        // Podman says that it can, and does not.
        const canLimit = !isRootless || info.CgroupVersion === '2'
        return {
          title: `${isPodman ? 'Podman' : 'Docker'} ${version.Version}`,
          isPodman,
          version: version.Version,
          isRootless,
          mapsUsers: isRootless || security.some((option) => option.startsWith('name=userns')),
          limits: {
            memory: canLimit && info.MemoryLimit !== false,
            cpu: canLimit && info.CpuCfsQuota !== false,
            processes: canLimit && info.PidsLimit !== false,
          },
          operatingSystem: info.OperatingSystem ?? '',
          storage: placesOf([
            info.DockerRootDir,
            podman.store?.graphRoot,
            podman.store?.runRoot,
            podman.store?.volumePath,
          ]),
          namespaceGuard: isPodman
            ? podmanGuard(podman.host?.security ?? {})
            : dockerGuard(security),
        }
      },
      { msMax: factsMsMax },
    )
  }

  /** Undefined when the engine has no such image. */
  async image(name: string): Promise<EngineImage | undefined> {
    return await this.#call(`looking for image ${name}`, async (client) => {
      try {
        const { Id: id, Config: config } = await client.getImage(name).inspect()
        const { Env: environment, Healthcheck: healthcheck, User: user }: ImageConfig = config
        return {
          id,
          environment: environment ?? [],
          isForRoot: /^(|0|root)(:|$)/.test(user ?? ''),
          hasHealthcheck: healthcheck !== undefined,
        }
      } catch (error) {
        if (statusOf(error) === 404) return undefined
        throw error
      }
    })
  }

  /** Ids of those that it has, the smallest first. */
  async imageIds(): Promise<readonly string[]> {
    return await this.#call('listing images', async (client) => {
      const found = await client.listImages()
      return found.toSorted((one, other) => one.Size - other.Size).map(({ Id }) => Id)
    })
  }

  /** @throws {FailedPreconditionError} with the registry's words. */
  async pull(name: string, login: RegistryLogin | undefined, signal: AbortSignal): Promise<void> {
    await this.#call(
      `pulling image ${name}`,
      async (client) => {
        const options = login === undefined ? {} : { authconfig: login }
        const stream: NodeJS.ReadableStream = await client.pull(name, options)
        await followProgress(client, stream, signal, () => {})
      },
      { msMax: unbounded, signal },
    )
  }

  /** Builds an image of a folder that has a Dockerfile. */
  async build(build: ImageBuild): Promise<void> {
    const { archive, name, labels, parameters, onLine, signal } = build
    await this.#call(
      `building image ${name}`,
      async (client) => {
        const { Readable } = await import('node:stream')
        const named = { t: name, labels, forcerm: true, rm: true, abortSignal: signal }
        const options = { ...parameters, ...named }
        const body = Readable.from(archive, { objectMode: false })
        const stream = await client.buildImage(body, options)
        await followProgress(client, stream, signal, onLine)
      },
      { msMax: unbounded, signal },
    )
  }

  /** Gives an image one more name. */
  async tag(name: string, added: { readonly repo: string; readonly tag: string }): Promise<void> {
    await this.#call(`naming image ${added.repo}`, async (client) => {
      await client.getImage(name).tag(added)
    })
  }

  /** Takes a name from an image, and the image away when it has no other. */
  async untag(name: string): Promise<void> {
    await this.#call(`removing image ${name}`, async (client) => {
      await client.getImage(name).remove({ force: true })
    })
  }

  /** Returns its id. */
  async createContainer(options: Docker.ContainerCreateOptions): Promise<string> {
    return await this.#call('making a container', async (client) => {
      const container = await client.createContainer(options)
      return container.id
    })
  }

  async startContainer(id: string): Promise<RunningContainer> {
    return await this.#call('starting a container', async (client) => {
      const container = client.getContainer(id)
      await container.start()
      const facts = await container.inspect()
      const { Data: data }: { readonly Data?: Readonly<Record<string, unknown>> } =
        facts.GraphDriver
      const upper = data?.['UpperDir']
      const pid = facts.State.Pid
      return { upperDirectory: typeof upper === 'string' ? upper : undefined, pid }
    })
  }

  /** Waits for its end, however long that takes. It may have been removed by then. */
  async waitForEnd(id: string): Promise<ContainerEnd> {
    return await this.#call(
      'waiting for a container',
      async (client) => {
        const end: { readonly StatusCode?: number } = await client.getContainer(id).wait()
        return { exitCode: end.StatusCode ?? 0 }
      },
      { msMax: unbounded },
    )
  }

  /** Whether the kernel ended it, or a process in it, for want of memory. */
  async ranOutOfMemory(id: string): Promise<boolean> {
    return await this.#call('looking at a container', async (client) => {
      const { State: state } = await client.getContainer(id).inspect()
      return state.OOMKilled
    })
  }

  /** Paths that differ from the image's. */
  async changes(id: string): Promise<readonly string[]> {
    return await this.#call(
      'looking at a container',
      async (client) => {
        const changes: unknown = await client.getContainer(id).changes()
        if (!Array.isArray(changes)) return []
        return changes.map((change: { readonly Path: string }) => change.Path)
      },
      { msMax: lookMsMax },
    )
  }

  /** How much it has written to its own file system; 0 when it is gone. */
  async writtenBytes(id: string): Promise<number> {
    return await this.#call(
      'looking at a container',
      async (client) => {
        // The types of the client know less than the API.
        const options: { readonly abortSignal?: AbortSignal; readonly size: boolean } = {
          size: true,
        }
        const facts: object = await client.getContainer(id).inspect(options)
        return 'SizeRw' in facts ? Number(facts.SizeRw) : 0
      },
      { msMax: lookMsMax },
    )
  }

  /** Whether there is a file in a container, running or not. */
  async hasFile(id: string, path: string): Promise<boolean> {
    return await this.#call('looking into a container', async (client) => {
      try {
        await client.getContainer(id).infoArchive({ path })
        return true
      } catch (error) {
        if (statusOf(error) === 404) return false
        throw error
      }
    })
  }

  /** Ends it and all that runs in it, by its id or name. False when there is none. */
  async removeContainer(id: string): Promise<boolean> {
    return await this.#call('removing a container', async (client) => {
      try {
        await client.getContainer(id).remove({ force: true, v: true })
      } catch (error) {
        const status = statusOf(error)
        // Gone, or somebody is at it already.
        if (status !== 404 && status !== 409) throw error
        return status !== 404
      }
      return true
    })
  }

  /** The ids of the containers, also of those that have ended, that have a label. */
  async containersWith(label: string): Promise<readonly string[]> {
    return await this.#call('listing containers', async (client) => {
      const found = await client.listContainers({ all: true, filters: { label: [label] } })
      return found.map(({ Id }) => Id)
    })
  }

  async #call<Value>(
    what: string,
    call: (client: Docker) => Promise<Value>,
    { msMax = callMsMax, signal }: CallBounds = {},
  ): Promise<Value> {
    const where = `${this.address} (${what})`
    // Of the call's own, so that nothing of it keeps the server from ending.
    const agent = new Agent()
    const timer = new AbortController()
    try {
      const answer = this.#open(agent).then(call)
      const closed = unlessAborted(answer, this.#closing.signal, 'the server is about to end')
      const wanted = unlessAborted(closed, signal ?? timer.signal, 'the work was cancelled')
      return await Promise.race([wanted, this.#late(msMax, where, timer.signal)])
    } catch (error) {
      if (this.#closing.signal.aborted && signal?.aborted !== true) {
        throw new UnavailableError(`no answer of the container engine at ${where} is waited for`)
      }
      if (error instanceof DomainError) throw error
      throw engineError(error, where)
    } finally {
      timer.abort()
      agent.destroy()
    }
  }

  /** Never resolves. */
  #late(ms: number, where: string, signal: AbortSignal): Promise<never> {
    if (ms === unbounded) return new Promise<never>(() => {})
    const late = this.#clock.sleep(ms, signal).then(() => {
      throw new UnavailableError(
        `no answer of the container engine at ${where} after ${ms / 1000} seconds: it hangs, or the machine is overloaded; see what it logs, and start it anew if that lasts`,
      )
    })
    late.catch(() => {})
    return late
  }

  async #open(agent: Agent): Promise<Docker> {
    const socketPath = this.#socketPath
    // Two hundred modules, for which a machine without an engine has no use.
    if (!this.#isFound) await stat(socketPath)
    this.#isFound = true
    const { default: Client } = await import('dockerode')
    // The types of the client know less than it does.
    const options: Docker.DockerOptions & { readonly agent: Agent } = { socketPath, agent }
    return new Client(options)
  }
}

/** As much as is looked at: engines leave out what they do not know. */
interface EngineInfo {
  readonly SecurityOptions?: readonly string[]
  readonly Rootless?: boolean
  readonly CgroupVersion?: string
  readonly MemoryLimit?: boolean
  readonly CpuCfsQuota?: boolean
  readonly PidsLimit?: boolean
  readonly OperatingSystem?: string
  readonly DockerRootDir?: string
}

/** In the words of Podman's own API. */
interface PodmanInfo {
  readonly store?: {
    readonly graphRoot?: unknown
    readonly runRoot?: unknown
    readonly volumePath?: unknown
  }
  readonly host?: { readonly security?: PodmanSecurity }
}

interface ImageConfig {
  readonly User?: string
  readonly Env?: readonly string[] | null
  readonly Healthcheck?: unknown
}

interface Progress {
  readonly stream?: string
  readonly status?: string
  readonly error?: string
}

/** Besides what it says as Docker would; nothing more where it does not know of such a question. */
async function podmanInfo(client: Docker, version: string): Promise<PodmanInfo> {
  const asked = { path: `/v${version}/libpod/info`, method: 'GET', statusCodes: { 200: true } }
  return await new Promise((resolve, reject) => {
    client.modem.dial(asked, (error: Error | null, answer) => {
      if (error === null) {
        resolve(answer as PodmanInfo)
      } else if (statusOf(error) === undefined) {
        reject(error)
      } else {
        resolve({})
      }
    })
  })
}

/** @throws {FailedPreconditionError} with what the engine says went wrong. */
async function followProgress(
  client: Docker,
  stream: NodeJS.ReadableStream,
  signal: AbortSignal,
  onLine: (line: string) => void,
): Promise<void> {
  const abort = (): void => {
    ;(stream as Readable).destroy(new CancelledError('the work of the engine was cancelled'))
  }
  signal.addEventListener('abort', abort, { once: true })
  if (signal.aborted) abort()
  let failure = ''
  const take = (progress: Progress): void => {
    if (progress.error !== undefined) failure = progress.error
    for (const line of (progress.stream ?? '').split('\n')) if (line !== '') onLine(line)
  }
  try {
    await new Promise<void>((resolve, reject) => {
      client.modem.followProgress(
        stream,
        (error) => (error === null || error === undefined ? resolve() : reject(error)),
        take,
      )
    })
  } catch (error) {
    if (signal.aborted) throw new CancelledError('the work of the engine was cancelled')
    if (failure === '') throw error
  } finally {
    signal.removeEventListener('abort', abort)
  }
  if (failure !== '') throw new FailedPreconditionError(failure.trim())
}
