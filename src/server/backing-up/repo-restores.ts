import { rm } from 'node:fs/promises'
import { Backup } from '../../backups/backup.ts'
import { parseSnapshotName, snapshotKey } from '../../backups/format.ts'
import { readForRestore } from '../../backups/store-backups.ts'
import type { RepoRestoreEvent, RepoRestores, RepoRestoreSource } from '../../api/repo-restores.ts'
import { concatBytes } from '../../base/bytes.ts'
import { CancelledError, FailedPreconditionError, InvalidArgumentError } from '../../base/errors.ts'
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
      const snapshot = await this.#snapshot(opened, source, signal)
      yield { kind: 'snapshot', name: snapshot.name }
      {
        await using repos = await SnapshotRepos.open(this.#ports, snapshot)
        yield* this.#ports.pulls.pullFrom(repos, wish, signal)
      }
      // Until here what has come was kept, for whoever has to begin again.
      await rm(this.#ports.directory, { recursive: true, force: true })
    } finally {
      this.#isRunning = false
    }
  }

  async #snapshot(
    opened: AsyncDisposableStack,
    source: RepoRestoreSource,
    signal: AbortSignal,
  ): Promise<ReadSnapshot> {
    if (source.kind === 'caller') {
      const { ask, snapshot, bytes } = source
      const read = async (key: string): Promise<Uint8Array> => await joined(key, ask(key, signal))
      return { name: parseSnapshotName(snapshot), bytes, read }
    }
    const { url, secret } = source.place
    const place = opened.use(await this.#ports.openPlace(url, signal))
    const backup = await Backup.open(place, { secret, random: this.#ports.random })
    const name = await backup.find(source.snapshot)
    const read = async (key: string): Promise<Uint8Array> => {
      if (signal.aborted) {
        throw new CancelledError('the restore was cancelled; begun again, it goes on')
      }
      return await readForRestore(backup, key)
    }
    return { name, bytes: await backup.read(snapshotKey(name)), read }
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
