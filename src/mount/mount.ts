import { closeSync, open, opendirSync, stat } from 'node:fs'
import { promisify } from 'node:util'
import type { Clock } from '../base/clock.ts'
import type { Transport } from '../client/transport.ts'
import { raiseReadAhead } from './device/mount-table.ts'
import { deviceVariable, openDevice } from './device/open-device.ts'
import { MountError } from './errors.ts'
import { PfsFilesystem } from './filesystem.ts'
import { transferBytesMax } from './fuse/answers.ts'
import { FuseSession } from './fuse/session.ts'
import { mountPath, unmount } from './mount-points.ts'
import { FreshTransport } from './tree/fresh-transport.ts'

export interface MountOptions {
  /** Empty. */
  readonly directory: string
  /** Where the server is, for the list of mounts. */
  readonly address: string
  /** Opens a connection to it; several, one after the other, when one breaks. */
  readonly openTransport: () => Transport
  readonly clock: Clock
  /** Tells a person of what programs that use the mount cannot say. */
  readonly report: (line: string) => void
  /** Told of every request. */
  readonly trace?: ((line: string) => void) | undefined
}

/** Files of a server as files of this machine, served by this process. */
export class Mount implements AsyncDisposable {
  readonly #directory: string
  readonly #session: FuseSession
  readonly #device: number
  readonly #transport: FreshTransport
  /** Resolves when it is unmounted, by whoever. */
  readonly ended: Promise<void>

  private constructor(
    directory: string,
    device: number,
    { openTransport, clock, report, trace }: MountOptions,
  ) {
    this.#directory = directory
    this.#device = device
    this.#transport = new FreshTransport(openTransport, clock)
    const owner = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 }
    const filesystem = new PfsFilesystem({ transport: this.#transport, clock, owner })
    this.#session = new FuseSession(device, filesystem, { clock, report, trace })
    filesystem.onLeaving = async (parentId, name) => this.#session.invalidate(parentId, name)
    this.ended = this.#session.run()
  }

  /** @throws {MountError | NoFuseError} */
  static async start(options: MountOptions): Promise<Mount> {
    const { directory, address } = options
    const path = mountPath(directory)
    // Started over, it is mounted already, and asking about it would be asking ourselves.
    if (process.env[deviceVariable] === undefined) requireEmptyDirectory(directory)
    const device = await openDevice({ directory: path, source: `pfs://${address}` })
    const mount = new Mount(path, device, options)
    await Promise.race([mount.#session.agreed, mount.ended])
    raiseReadAhead(path, transferBytesMax)
    return mount
  }

  /** Returns at once when nobody uses it; else whoever does gets errors from now on. */
  async stop(): Promise<'unused' | 'in use'> {
    try {
      await unmount(this.#directory, { detaches: false })
      await this.ended
      return 'unused'
    } catch (error) {
      if (!(error instanceof MountError)) throw error
    }
    const root = await promisify(open)(this.#directory, 'r')
    await unmount(this.#directory, { detaches: true })
    // Whoever waits for a request wakes up only by one: these.
    const waking = this.#session.end(async () => {
      await promisify(stat)(`/proc/self/fd/${root}/.wake`).catch(() => undefined)
    })
    void waking.finally(() => closeSync(root))
    await this.ended
    return 'in use'
  }

  async [Symbol.asyncDispose](): Promise<void> {
    closeSync(this.#device)
    await this.#transport[Symbol.asyncDispose]()
  }
}

function requireEmptyDirectory(directory: string): void {
  try {
    using entries = opendirSync(directory)
    if (entries.readSync() === null) return
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOTCONN') {
      throw new MountError(
        `${directory} is a mount whose pachctl is gone; run pachctl unmount ${directory} first`,
        { cause: error },
      )
    }
    if (code === 'ENOENT') {
      throw new MountError(`there is no directory ${directory}; make it first`, { cause: error })
    }
    throw error
  }
  throw new MountError(`${directory} is not empty: what is in it could not be seen any more`)
}
