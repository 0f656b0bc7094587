import { rm } from 'node:fs/promises'
import { Backup } from '../../backups/backup.ts'
import { parseSnapshotName } from '../../backups/format.ts'
import { readForRepos } from '../../backups/restore-reads.ts'
import { type ChosenSnapshot, chooseSnapshot } from '../../backups/snapshot-choice.ts'
import type { RepoRestoreEvent, RepoRestores, RepoRestoreSource } from '../../api/repo-restores.ts'
import { concatBytes } from '../../base/bytes.ts'
import {
  CancelledError,
  FailedPreconditionError,
  InvalidArgumentError,
  UnavailableError,
} from '../../base/errors.ts'
import { packBytesMax } from '../../storage/pack-bytes.ts'
import type { Pulls, PullWish } from '../../sources/pulls.ts'
import { type ReadSnapshot, SnapshotRepos, type SnapshotReposPorts } from './snapshot-repos.ts'
import type { backupPlaces } from '../backup-places.ts'

export interface RepoRestoresPorts extends SnapshotReposPorts {
  readonly openPlace: ReturnType<typeof backupPlaces>
  readonly pulls: Pulls
}

/** Brings chosen repos of a backup beside those that are here. One restore at a time. */
export class OpenRepoRestores implements RepoRestores {
  readonly #ports: RepoRestoresPorts
  #isRunning = false

  constructor(ports: RepoRestoresPorts) {
    this.#ports = ports
  }

  async *restore(
    source: RepoRestoreSource,
    wish: PullWish,
    signal: AbortSignal,
  ): AsyncGenerator<RepoRestoreEvent> {
    if (this.#isRunning) {
      throw new FailedPreconditionError(
        'repos of a backup are being restored already: wait until that has ended, or end it',
      )
    }
    this.#isRunning = true
    try {
      await using opened = new AsyncDisposableStack()
      const { snapshot, choice } = await this.#snapshot(opened, source, signal)
      yield { kind: 'snapshot', name: snapshot.name, choice }
      {
        await using repos = await SnapshotRepos.open(this.#ports, snapshot)
        yield* this.#ports.pulls.pullFrom(repos, wish, signal)
      }
      await this.#forget()
    } catch (error) {
      // What has come is kept for whoever stopped it, or lost the connection, and begins again.
      if (!signal.aborted && !(error instanceof UnavailableError)) await this.#forget()
      throw error
    } finally {
      this.#isRunning = false
    }
  }

  async #forget(): Promise<void> {
    await rm(this.#ports.directory, { recursive: true, force: true })
  }

  async #snapshot(
    opened: AsyncDisposableStack,
    source: RepoRestoreSource,
    signal: AbortSignal,
  ): Promise<{ readonly snapshot: ReadSnapshot; readonly choice?: ChosenSnapshot }> {
    if (source.kind === 'caller') {
      const { ask, snapshot, bytes } = source
      const read = async (key: string): Promise<Uint8Array> => await joined(key, ask(key, signal))
      return { snapshot: { name: parseSnapshotName(snapshot), bytes, read } }
    }
    const { url, secret } = source.place
    const place = opened.use(await this.#ports.openPlace(url, signal))
    const backup = await Backup.open(place, { secret, random: this.#ports.random })
    const choice = await chooseSnapshot(backup, source.snapshot)
    const read = async (key: string): Promise<Uint8Array> => {
      if (signal.aborted) {
        throw new CancelledError('the restore was cancelled; begun again, it goes on')
      }
      return await readForRepos(backup, choice, key)
    }
    return { snapshot: { ...choice, read }, choice }
  }
}

async function joined(key: string, parts: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  let sizeBytes = 0
  for await (const piece of parts) {
    sizeBytes += piece.length
    if (sizeBytes > packBytesMax) {
      throw new InvalidArgumentError(
        `an object of a backup has at most ${packBytesMax} bytes, and ${key} has more`,
      )
    }
    pieces.push(piece)
  }
  return concatBytes(pieces)
}
