import { fromJson, toJson } from '@bufbuild/protobuf'
import { expect } from 'vitest'
import {
  JobInfoSchema,
  JobSchema,
  PipelineInfoSchema,
  PipelineSchema,
} from '../../src/gen/pps_pb.ts'
import type { UnpackedCluster } from '../harness/old-clusters.ts'
import type { TestClient } from '../harness/test-pachd.ts'
import { asServedHere, withoutOpenCommits, withSortedProvenance } from './differences.ts'
import { expectedWhole, servedWhole } from './whole.ts'

/**
 * Every fact that the old server said of a cluster is served, but for the differences that are listed.
 * `openCommits`: what the request said of them.
 */
export async function expectWhole(
  pachd: TestClient,
  { name, expectedBy15 }: UnpackedCluster,
  openCommits: 'keep' | 'drop',
): Promise<void> {
  const wanted = asServedHere(expectedWhole(expectedBy15), name)
  const served = withSortedProvenance(await servedWhole(pachd))
  const kept = openCommits === 'keep' ? wanted : withoutOpenCommits(wanted)
  for (const [at, repo] of kept.repos.entries()) expect(served.repos[at]).toEqual(repo)
  expect(served).toEqual(kept)
  for (const info of served.pipelines) {
    const inspected = await pachd.pps.inspectPipeline({
      pipeline: fromJson(PipelineSchema, info['pipeline'] ?? {}),
    })
    expect(toJson(PipelineInfoSchema, inspected)).toEqual(info)
  }
  for (const info of served.jobs) {
    const inspected = await pachd.pps.inspectJob({ job: fromJson(JobSchema, info['job'] ?? {}) })
    expect(toJson(JobInfoSchema, inspected)).toEqual(info)
  }
}
