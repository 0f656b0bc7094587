import type { Clock } from '../base/clock.ts'
import type { OldCluster } from '../legacy/old-cluster.ts'
import { readOldTree } from '../legacy/old-trees.ts'
import type { CommitPlan } from './commit-plan.ts'
import { verified } from './content-import.ts'
import type { MigrationCounts } from './events.ts'
import { type Findings, isDamage } from './findings.ts'

const readersMax = 16
/** Bytes of hashes by which contents are told apart: enough for any number of them. */
const keyLength = 32
/** What is read whole, to learn how fast the source is. */
const sampleBytesMax = 64 * 1024 * 1024
const sampleMsMax = 3000
/** Storing costs beside reading, and trees are built: measured on generated sources. */
const storeFactor = 1.5
const msPerFile = 0.05

export interface SurveyPorts {
  readonly cluster: OldCluster
  readonly clock: Clock
  readonly counts: MigrationCounts
  readonly findings: Findings
  readonly signal: AbortSignal
}

/** Looks at everything that would come, reads trees whole, and of contents a sample. */
export class Survey {
  readonly #ports: SurveyPorts
  readonly #trees = new Map<
    string,
    { readonly files: number; readonly bytes: number } | 'damaged'
  >()
  readonly #objects = new Set<string>()
  #sampledBytes = 0
  #sampledCount = 0
  #sampledMs = 0

  constructor(ports: SurveyPorts) {
    this.#ports = ports
  }

  /** What a migration is likely to take. */
  get estimatedMs(): number {
    const { counts } = this.#ports
    const sampled = Math.max(this.#sampledBytes, 1)
    const byBytes = (this.#sampledMs / sampled) * counts.objectBytes
    const byCount = (this.#sampledMs / Math.max(this.#sampledCount, 1)) * counts.objects
    return Math.max(byBytes, byCount) * storeFactor + counts.files * msPerFile
  }

  /** Yields after each commit. */
  async *run(plan: CommitPlan): AsyncGenerator<void> {
    const { cluster, counts, findings } = this.#ports
    for (const commit of plan.commits) {
      const { repo, id, tree } = commit
      this.#ports.signal.throwIfAborted()
      const owner = `${repo}/${id}`
      if (tree === undefined) {
        counts.openCommits += 1
        const writes = await cluster.writes(commit, findings.onDamage)
        const records = writes.flatMap(({ change }) =>
          change.kind === 'put' ? change.records : [],
        )
        await this.#lookAt(records.map(({ object }) => object))
      } else {
        const found = this.#trees.get(tree) ?? (await this.#readTree(tree, owner))
        this.#trees.set(tree, found)
        if (found === 'damaged') findings.damage('commit', owner, `its tree ${tree} is damaged`)
        else {
          counts.files += found.files
          counts.bytes += found.bytes
        }
      }
      counts.commits += 1
      yield
    }
  }

  async #readTree(
    hash: string,
    owner: string,
  ): Promise<{ readonly files: number; readonly bytes: number } | 'damaged'> {
    const { objects } = this.#ports.cluster
    let [files, bytes] = [0, 0]
    let batch: string[] = []
    try {
      for await (const node of readOldTree(verified(hash, objects.read(hash)))) {
        if (node.kind === 'directory') continue
        files += 1
        bytes += node.sizeBytes
        batch.push(...node.objects)
        if (batch.length < 1000) continue
        await this.#lookAt(batch)
        batch = []
      }
      await this.#lookAt(batch)
    } catch (error) {
      if (!isDamage(error)) throw error
      this.#ports.findings.damage(
        'tree',
        hash,
        `the tree of ${owner} cannot be read: ${error.message}`,
      )
      return 'damaged'
    }
    return { files, bytes }
  }

  async #lookAt(hashes: readonly string[]): Promise<void> {
    const unseen: string[] = []
    for (const hash of hashes) {
      const key = hash.slice(0, keyLength)
      if (this.#objects.has(key)) continue
      this.#objects.add(key)
      unseen.push(hash)
    }
    const waiting = unseen.values()
    const look = async (): Promise<void> => {
      for (const hash of waiting) await this.#lookAtOne(hash)
    }
    await Promise.all(Array.from({ length: readersMax }, look))
  }

  async #lookAtOne(hash: string): Promise<void> {
    const { clock, cluster, counts, findings, signal } = this.#ports
    signal.throwIfAborted()
    try {
      const sizeBytes = await cluster.objects.sizeBytes(hash)
      counts.objects += 1
      counts.objectBytes += sizeBytes
      if (this.#sampledBytes >= sampleBytesMax || this.#sampledMs >= sampleMsMax) return
      const startedMs = clock.monotonicMs()
      for await (const piece of verified(hash, cluster.objects.read(hash))) {
        this.#sampledBytes += piece.length
      }
      this.#sampledCount += 1
      // Several are read at once, and share the time.
      this.#sampledMs += (clock.monotonicMs() - startedMs) / readersMax
    } catch (error) {
      if (!isDamage(error)) throw error
      findings.damage('object', hash, error.message)
    }
  }
}
