import type { Clock, Instant } from '../base/clock.ts'
import type { Database } from '../database/database.ts'
import type { CreatePipelineRequest } from '../gen/pps_pb.ts'
import type { OpenPorts } from '../legacy/open-cluster.ts'
import type { PipelineSpec } from '../pipelines/specs.ts'
import type { ChunkStore } from '../storage/chunks.ts'
import type { Contents } from '../storage/contents.ts'
import type { FaultPoint } from '../storage/fault-point.ts'
import type { FileTrees } from '../storage/file-trees.ts'
import type { Leases } from '../storage/leases.ts'
import type { ProllyMaps } from '../storage/prolly-map.ts'

/** Where things are brought to: the server's own stores, or those of a rehearsal. */
export interface MigrationStores {
  readonly database: Database
  readonly chunks: ChunkStore
  readonly trees: FileTrees
  readonly maps: ProllyMaps
  readonly leases: Leases
}

/** Makes a spec of what a client would send for it. @throws {DomainError} for one that cannot run here. */
export type SpecOf = (request: CreatePipelineRequest, now: Instant) => PipelineSpec

export interface MigrationPorts extends MigrationStores {
  readonly contents: Contents
  readonly clock: Clock
  readonly specOf: SpecOf
  readonly openBucket: OpenPorts['openBucket']
  /** Empty stores, which are gone when they are disposed of. */
  readonly openRehearsal: () => Promise<MigrationStores & AsyncDisposable>
  readonly faultPoint?: FaultPoint
}
