import { equalBytes } from '../../base/bytes.ts'
import type { CommitId, JobId, PipelineName, RepoName } from '../../base/names.ts'
import { isWithin, type FilePath } from '../../base/paths.ts'
import type { Database } from '../../database/database.ts'
import type { DirectoryEntry, FileTrees } from '../../storage/file-trees.ts'
import type { Lease, Leases } from '../../storage/leases.ts'
import type { MapRoot, ProllyMaps } from '../../storage/prolly-map.ts'
import { readInputsOf, type PlacedDatum } from '../datums/datum-places.ts'
import { findResults } from '../datum-results.ts'
import { decodeDatum, type DatumRecord } from '../datums/datum-sets.ts'
import { describeDatums, type DatumState } from '../datum-states.ts'
import type { DatumKey, DatumMember } from '../datums.ts'
import { groupOf } from '../discovery/group-members.ts'
import { atomsOf, type AtomInput, type Input } from '../inputs.ts'
import type { JobRecord } from '../job-records.ts'
import { orderKeyOf, pathOfContribution } from '../outputs/contributions.ts'
import { specOfVersion } from '../pipeline-records.ts'
import { atomsBeside, datumsAround } from '../datums/restricted-datums.ts'

/** A datum that read a file, and files that it wrote. */
export interface FileDerivation {
  readonly job: JobId
  readonly pipeline: PipelineName
  readonly datum: DatumKey
  readonly state: DatumState
  /** Where the files are; undefined until the job has succeeded. */
  readonly output: { readonly repo: RepoName; readonly commit: CommitId } | undefined
  /** Some of them; those of a datum that wrote many are handed on in several parts. */
  readonly paths: readonly FilePath[]
}

export interface LineagePorts {
  readonly database: Database
  readonly maps: ProllyMaps
  readonly trees: FileTrees
  readonly leases: Leases
}

/** Paths that are handed on at a time, and characters in them. */
const pathCountMax = 1000
const pathsLengthMax = 64 * 1024

/** A file or directory of a repo, in whatever commit of it a job reads. */
interface ReadFile {
  readonly repo: RepoName
  readonly path: FilePath
}

/** Finds what jobs made from a file. `lease` holds what is read meanwhile. */
export class DerivedFiles {
  readonly #ports: LineagePorts
  readonly #lease: Lease

  constructor(ports: LineagePorts, lease: Lease) {
    this.#ports = ports
    this.#lease = lease
  }

  /** Nothing for a job that has not been planned. */
  async *of(job: JobRecord, file: ReadFile): AsyncGenerator<FileDerivation> {
    const { datumSet } = job
    if (datumSet === undefined) return
    this.#lease.hold({ kind: 'map', root: datumSet })
    for await (const place of this.#touching(job, datumSet, file)) yield* this.#written(job, place)
  }

  /** The datums that have the file among what they are given, each once. */
  async *#touching(
    job: JobRecord,
    datumSet: MapRoot,
    { repo, path }: ReadFile,
  ): AsyncGenerator<PlacedDatum> {
    const { database, maps } = this.#ports
    const { inputs, spec } = await database.read(async (tx) => ({
      inputs: await readInputsOf(tx, job),
      spec: await specOfVersion(tx, job.pipelineId, job.pipelineVersion),
    }))
    // Of the very input that is restricted below: its atoms are told apart by identity.
    const input = inputs?.input ?? spec?.input
    const atoms = input === undefined ? [] : atomsOf(input).filter((atom) => atom.repo === repo)
    // The trees of groups.
    if (job.matches !== undefined) this.#lease.hold({ kind: 'tree', root: job.matches })
    const isTouched = async (datum: DatumRecord, by: readonly AtomInput[]): Promise<boolean> =>
      input !== undefined && (await this.#isTouched({ input, datum, path }, by))
    if (inputs === undefined) {
      // What it reads is gone: its datums are all that is left to ask.
      for await (const { key: orderKey, value } of maps.scan(datumSet)) {
        const datum = decodeDatum(value)
        if (await isTouched(datum, atoms)) yield { orderKey, datum }
      }
      return
    }
    for (const { root } of inputs.trees.values()) this.#lease.hold({ kind: 'tree', root })
    const earlier: AtomInput[] = []
    for (const atom of atoms) {
      const beside = new Set(atomsBeside(inputs.input, atom))
      const others = earlier.filter((one) => beside.has(one))
      for await (const { orderKey } of datumsAround(this.#ports, inputs, { atom, path })) {
        const value = await maps.get(datumSet, orderKey)
        if (value === undefined) continue
        const datum = decodeDatum(value)
        if (!(await isTouched(datum, [atom]))) continue
        // Told already; those of another branch of a union stand elsewhere.
        if (!(await isTouched(datum, others))) yield { orderKey, datum }
      }
      earlier.push(atom)
    }
  }

  /** Whether one of `by` gave the datum the file, a directory that it is in, or part of it. */
  async #isTouched(
    {
      input,
      datum,
      path,
    }: { readonly input: Input; readonly datum: DatumRecord; readonly path: FilePath },
    by: readonly AtomInput[],
  ): Promise<boolean> {
    for (const member of membersOf(datum.members, by)) {
      const group = groupOf(input, member)
      const isTouched =
        group === undefined
          ? isWithin(member.path, path) || isWithin(path, member.path)
          : (await this.#ports.trees.get(group, path)) !== undefined
      if (isTouched) return true
    }
    return false
  }

  async *#written(job: JobRecord, place: PlacedDatum): AsyncGenerator<FileDerivation> {
    const { datum } = place
    using lease = this.#ports.leases.beginReading()
    const { info, output } = await lease.acquire(async () => {
      const found = await this.#ports.database.read(async (tx) => ({
        info: (await describeDatums(tx, job, [datum]))[0],
        output: (await findResults(tx, [datum.key])).get(datum.key)?.output,
      }))
      if (found.output !== undefined) lease.hold({ kind: 'tree', root: found.output.root })
      return found
    })
    const { id, pipeline, outputRepo, outputCommit } = job
    const derivation = {
      job: id,
      pipeline,
      datum: datum.key,
      state: info?.state ?? 'starting',
      output:
        job.state === 'success' && outputCommit !== ''
          ? { repo: outputRepo, commit: outputCommit }
          : undefined,
    }
    let paths: FilePath[] = []
    let length = 0
    let isTold = false
    for await (const path of this.#pathsOf(job, place, output)) {
      paths.push(path)
      length += path.length
      if (paths.length < pathCountMax && length < pathsLengthMax) continue
      yield { ...derivation, paths }
      isTold = true
      paths = []
      length = 0
    }
    if (paths.length > 0 || !isTold) yield { ...derivation, paths }
  }

  async *#pathsOf(
    { contributions }: JobRecord,
    { orderKey }: PlacedDatum,
    output: DirectoryEntry | undefined,
  ): AsyncGenerator<FilePath> {
    const { maps, trees } = this.#ports
    if (output !== undefined) {
      for await (const { path } of trees.walk(output)) yield path
      return
    }
    if (contributions === undefined) return
    // The result has been collected: what is left is what the job keeps by path.
    this.#lease.hold({ kind: 'tree', root: contributions })
    for await (const { key } of maps.scan(contributions)) {
      if (equalBytes(orderKeyOf(key), orderKey)) yield pathOfContribution(key)
    }
  }
}

function membersOf(
  members: readonly DatumMember[],
  atoms: readonly AtomInput[],
): readonly DatumMember[] {
  const names = new Set(atoms.map(({ name }) => name))
  return members.filter(({ input }) => names.has(input))
}
