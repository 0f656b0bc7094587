import { stat } from 'node:fs/promises'
import type { Readable } from 'node:stream'

import type Docker from 'dockerode'

import { CancelledError, DomainError, FailedPreconditionError } from '../../base/errors.ts'
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
  readonly onLine: (line: string) => void
  readonly signal: AbortSignal
}

/** Docker or Podman by the Docker Engine API. The client library is loaded when there is a socket. */
export class Engine {
  /** `unix:///…`, for people. */
  readonly address: string
  readonly #socketPath: string
  #client: Promise<Docker> | undefined

  constructor(socketPath: string) {
    this.#socketPath = socketPath
    this.address = `unix://${socketPath}`
  }

  /** @throws {UnavailableError} when nobody answers there. */
  async facts(): Promise<EngineFacts> {
    return await this.#call('asking for its version', async (client) => {
      const version = await client.version()
      const info: EngineInfo = await client.info()
      const isPodman = version.Components?.some(({ Name }) => Name === 'Podman Engine') ?? false
      const security = info.SecurityOptions ?? []
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
      }
    })
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
    await this.#call(`pulling image ${name}`, async (client) => {
      const options = login === undefined ? {} : { authconfig: login }
      const stream: NodeJS.ReadableStream = await client.pull(name, options)
      await followProgress(client, stream, signal, () => {})
    })
  }

  /** Builds an image of a folder that has a Dockerfile. */
  async build({ archive, name, labels, onLine, signal }: ImageBuild): Promise<void> {
    await this.#call(`building image ${name}`, async (client) => {
      const { Readable } = await import('node:stream')
      const options = { t: name, labels, forcerm: true, rm: true, abortSignal: signal }
      const body = Readable.from(archive, { objectMode: false })
      const stream = await client.buildImage(body, options)
      await followProgress(client, stream, signal, onLine)
    })
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
    return await this.#call('waiting for a container', async (client) => {
      const end: { readonly StatusCode?: number } = await client.getContainer(id).wait()
      return { exitCode: end.StatusCode ?? 0 }
    })
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
    return await this.#call('looking at a container', async (client) => {
      const changes: unknown = await client.getContainer(id).changes()
      if (!Array.isArray(changes)) return []
      return changes.map((change: { readonly Path: string }) => change.Path)
    })
  }

  /** How much it has written to its own file system; 0 when it is gone. */
  async writtenBytes(id: string): Promise<number> {
    return await this.#call('looking at a container', async (client) => {
      // The types of the client know less than the API.
      const options: { readonly abortSignal?: AbortSignal; readonly size: boolean } = { size: true }
      const facts: object = await client.getContainer(id).inspect(options)
      return 'SizeRw' in facts ? Number(facts.SizeRw) : 0
    })
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

  /** Ends it and all that runs in it. There may be none. */
  async removeContainer(id: string): Promise<void> {
    await this.#call('removing a container', async (client) => {
      try {
        await client.getContainer(id).remove({ force: true, v: true })
      } catch (error) {
        const status = statusOf(error)
        // Gone, or somebody is at it already.
        if (status !== 404 && status !== 409) throw error
      }
    })
  }

  /** The ids of the containers, also of those that have ended, that have a label. */
  async containersWith(label: string): Promise<readonly string[]> {
    return await this.#call('listing containers', async (client) => {
      const found = await client.listContainers({ all: true, filters: { label: [label] } })
      return found.map(({ Id }) => Id)
    })
  }

  async #call<Value>(what: string, call: (client: Docker) => Promise<Value>): Promise<Value> {
    try {
      return await call(await this.#open())
    } catch (error) {
      if (error instanceof DomainError) throw error
      throw engineError(error, `${this.address} (${what})`)
    }
  }

  async #open(): Promise<Docker> {
    const socketPath = this.#socketPath
    // Two hundred modules, for which a machine without an engine has no use.
    if (this.#client === undefined) await stat(socketPath)
    this.#client ??= import('dockerode').then(({ default: Client }) => new Client({ socketPath }))
    return await this.#client
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
