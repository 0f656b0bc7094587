import { create, fromJson } from '@bufbuild/protobuf'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { type Route, service } from '../../src/api/grpc/service.ts'
import type { Metadata } from '../../src/api/grpc/metadata.ts'
import {
  FailedPreconditionError,
  NotFoundError,
  PermissionDeniedError,
  UnimplementedError,
} from '../../src/base/errors.ts'
import { ACLSchema, API as Auth, Scope } from '../../src/gen/auth_pb.ts'
import {
  API as Pfs,
  BranchInfoSchema,
  CommitInfoSchema,
  ObjectAPI,
  RepoInfoSchema,
} from '../../src/gen/pfs_pb.ts'
import { API as Pps, type JobInfo } from '../../src/gen/pps_pb.ts'
import { API as Version } from '../../src/gen/version_pb.ts'
import type { OldObjects } from '../../src/legacy/old-objects.ts'
import type { GrpcFixture } from '../../src/testing/grpc-fixture.ts'
import { expectedJobs, expectedPipelines } from '../migration/migrated.ts'
import type { ExpectedCluster } from './old-clusters.ts'

const lenient = { ignoreUnknownFields: true }

export interface OldServer {
  readonly version: { readonly major: number; readonly minor: number; readonly micro: number }
  readonly expected: ExpectedCluster
  readonly objects: OldObjects
  /** Whether it knows how, and keeps objects where it can: not as files. */
  readonly listsTags?: boolean
  /** Its access control is on: who may read, and the repos that have lists. */
  readonly access?: { readonly token: string; readonly lists: readonly string[] }
  /** Called when everything has been listed. */
  readonly onListed?: () => void
}

/** As 1.5 checks who calls: lists of repos and of pipelines, and objects, are everybody's. */
class Guard {
  readonly #access: OldServer['access']

  constructor(access: OldServer['access']) {
    this.#access = access
  }

  requireToken(metadata: Metadata): void {
    if (this.#access === undefined) {
      throw new FailedPreconditionError('the auth service is not activated')
    }
    const token = metadata.text('authn-token') ?? ''
    if (token === '') throw new NotFoundError('auth token not found in context')
    if (token === this.#access.token || token === readerless) return
    throw new NotFoundError('token not found')
  }

  requireReader(metadata: Metadata, repo: string): void {
    if (this.#access === undefined) return
    this.requireToken(metadata)
    if (metadata.text('authn-token') === this.#access.token) return
    throw new PermissionDeniedError(
      `not authorized to perform this operation on the repo ${repo}; must have READER`,
    )
  }
}

/**
 * Answers as the server of an old cluster did: lists from what that said, newest first, and objects from
 * its storage.
 */
export async function serveOldCluster(fixture: GrpcFixture, server: OldServer): Promise<number> {
  const { expected, version } = server
  const is14 = version.minor === 4
  const guard = new Guard(server.access)
  return await fixture.serve(
    service(Version, { getVersion: async () => version }),
    reposService(expected, guard),
    service(Pps, {
      listPipeline: async () => ({ pipelineInfo: [...expectedPipelines(expected)] }),
      async listJob() {
        server.onListed?.()
        return { jobInfo: is14 ? jobsOf14(expected) : [...expectedJobs(expected)] }
      },
    }),
    is14 ? [] : accessService(server, guard),
    objectsService(server),
  )
}

function reposService(expected: ExpectedCluster, guard: Guard): readonly Route[] {
  return service(Pfs, {
    listRepo: async () => ({
      repoInfo: Object.values(expected.repos).map(({ info }) =>
        fromJson(RepoInfoSchema, info, lenient),
      ),
    }),
    async listCommit({ repo: { name = '' } = {} }, { metadata }) {
      guard.requireReader(metadata, name)
      const commits = Object.values(expected.repos[name]?.commits ?? {})
      return { commitInfo: commits.map(({ info }) => fromJson(CommitInfoSchema, info, lenient)) }
    },
    async listBranch({ repo: { name = '' } = {} }, { metadata }) {
      guard.requireReader(metadata, name)
      const branches = expected.repos[name]?.branches ?? []
      return { branchInfo: branches.map((json) => fromJson(BranchInfoSchema, json, lenient)) }
    },
  })
}

function accessService({ access }: OldServer, guard: Guard): readonly Route[] {
  return service(Auth, {
    async whoAmI(_request, { metadata }) {
      guard.requireToken(metadata)
      return { username: 'ada' }
    },
    async getACL({ repo }, { metadata }) {
      guard.requireReader(metadata, repo)
      if (access?.lists.includes(repo) !== true) {
        throw new NotFoundError(`ACL not found for repo ${repo}`)
      }
      return { acl: create(ACLSchema, { entries: { ada: Scope.OWNER } }) }
    },
  })
}

function objectsService({ objects, listsTags }: OldServer): readonly Route[] {
  return service(ObjectAPI, {
    async *getObject({ hash }) {
      for await (const value of objects.read(hash)) yield { value }
    },
    inspectObject: async ({ hash }) => ({
      object: { hash },
      blockRef: { range: { lower: 0n, upper: BigInt(await objects.sizeBytes(hash)) } },
    }),
    async inspectTag({ name }) {
      const hash = await objects.findTag(name)
      if (hash === undefined) throw new NotFoundError(`tag ${name} not found`)
      return { object: { hash } }
    },
    async *listTags({ prefix }) {
      if (listsTags !== true) throw new UnimplementedError('TODO')
      const tags: string[] = []
      await objects.listTags(prefix, (tag) => tags.push(tag))
      for (const tag of tags) yield { tag }
    },
  })
}

/** A token that the server knows, of somebody who may read nothing. */
export const readerless = 'token-of-nobody'

/** With the field that 1.5 does not have. */
function jobsOf14(expected: ExpectedCluster): JobInfo[] {
  const jobs = expectedJobs(expected)
  return jobs.map((job, index) => {
    const { pipelineId = '' } = expected.raw.listJob[index] as { readonly pipelineId?: string }
    job.$unknown = [
      {
        no: 19,
        wireType: WireType.LengthDelimited,
        data: new BinaryWriter().string(pipelineId).finish(),
      },
    ]
    return job
  })
}
