import { putFilesPartsMax, putObjectTagsMax } from '../base/content-messages.ts'
import { ACLSchema, ActivateRequestSchema, GetScopeRequestSchema } from '../gen/auth_pb.ts'
import {
  CreateTrialRequestSchema,
  DeleteCommitsRequestSchema,
  FlushCausesRequestSchema,
  GetChunksRequestSchema,
  GetFilesRequestSchema,
  ListJobsRequestSchema,
  ListReposRequestSchema,
  PlanRequestSchema,
  PullRequestSchema,
  PushRequestSchema,
  PutFilesRequestSchema,
  CreateSecretRequestSchema,
  UpdateSecretRequestSchema,
  PutSourcesRequestSchema,
  RestoreReposRequestSchema,
  RunTransactionRequestSchema,
  ValidatePipelinesRequestSchema,
} from '../gen/pachyderm_pb.ts'
import {
  BuildCommitRequestSchema,
  CreateRepoRequestSchema,
  DeleteObjectsRequestSchema,
  DeleteTagsRequestSchema,
  FlushCommitRequestSchema,
  GetObjectsRequestSchema,
  ListRepoRequestSchema,
  PutObjectRequestSchema,
  StartCommitRequestSchema,
  TagObjectRequestSchema,
} from '../gen/pfs_pb.ts'
import {
  CreateJobRequestSchema,
  CreatePipelineRequestSchema,
  GetLogsRequestSchema,
  InputSchema,
  ListJobRequestSchema,
  RerunPipelineRequestSchema,
  RestartDatumRequestSchema,
  TransformSchema,
} from '../gen/pps_pb.ts'
import { type FieldLimit, MessageLimits } from './grpc/message-limits.ts'

const inParts = 'make several requests, each of a part'
const severalSecrets = 'make several secrets'
const oneTrial = 'try fewer changes at a time'
const inMessages = 'send them in several messages of the stream'
const tagObject = 'give the object its other tags with TagObject'
const fewerRepos = 'make repos of some of them, and this one of those'
const fewerCommits =
  'name commits that are made from some of them, such as the output of a pipeline'
const fewerInputs = 'put files that are read alike into one repo, and use a glob'
const shortCommand = 'put the program into the image or into a repo, and start it'

/**
 * How many of what a request may hold, counted in all of it; `docs/limits.md` tells users. Of a stream of
 * requests, each counts for itself.
 */
const fields: readonly FieldLimit[] = [
  // pfs.API
  { field: CreateRepoRequestSchema.field.provenance, countMax: 1000, advice: fewerRepos },
  { field: ListRepoRequestSchema.field.provenance, countMax: 1000, advice: 'name fewer repos' },
  { field: StartCommitRequestSchema.field.provenance, countMax: 1000, advice: fewerCommits },
  { field: BuildCommitRequestSchema.field.provenance, countMax: 1000, advice: fewerCommits },
  { field: FlushCommitRequestSchema.field.commits, countMax: 10_000, advice: inParts },
  { field: FlushCommitRequestSchema.field.toRepos, countMax: 1000, advice: inParts },
  { field: FlushCausesRequestSchema.field.commits, countMax: 10_000, advice: inParts },
  { field: FlushCausesRequestSchema.field.toRepos, countMax: 1000, advice: inParts },

  // pfs.ObjectAPI
  { field: GetObjectsRequestSchema.field.objects, countMax: 10_000, advice: inParts },
  { field: PutObjectRequestSchema.field.tags, countMax: putObjectTagsMax, advice: tagObject },
  { field: TagObjectRequestSchema.field.tags, countMax: 10_000, advice: inParts },
  { field: DeleteObjectsRequestSchema.field.objects, countMax: 10_000, advice: inParts },
  { field: DeleteTagsRequestSchema.field.tags, countMax: 10_000, advice: inParts },

  // pps.API
  { field: ListJobRequestSchema.field.inputCommit, countMax: 1000, advice: inParts },
  { field: CreateJobRequestSchema.field.inputs, countMax: 1000, advice: fewerInputs },
  { field: CreatePipelineRequestSchema.field.inputs, countMax: 1000, advice: fewerInputs },
  { field: RerunPipelineRequestSchema.field.exclude, countMax: 1000, advice: inParts },
  { field: RerunPipelineRequestSchema.field.include, countMax: 1000, advice: inParts },
  { field: RestartDatumRequestSchema.field.dataFilters, countMax: 1000, advice: inParts },
  { field: GetLogsRequestSchema.field.dataFilters, countMax: 1000, advice: inParts },
  { field: InputSchema.field.cross, countMax: 1000, advice: fewerInputs },
  { field: InputSchema.field.union, countMax: 1000, advice: fewerInputs },
  { field: InputSchema.field.join, countMax: 1000, advice: fewerInputs },
  { field: InputSchema.field.group, countMax: 1000, advice: fewerInputs },
  { field: TransformSchema.field.cmd, countMax: 10_000, advice: shortCommand },
  { field: TransformSchema.field.errCmd, countMax: 10_000, advice: shortCommand },
  { field: TransformSchema.field.stdin, countMax: 50_000, advice: shortCommand },
  { field: TransformSchema.field.errStdin, countMax: 50_000, advice: shortCommand },
  {
    field: TransformSchema.field.env,
    countMax: 10_000,
    advice: 'put what the program reads into a file',
  },
  { field: TransformSchema.field.secrets, countMax: 1000, advice: 'mount fewer secrets' },
  { field: TransformSchema.field.imagePullSecrets, countMax: 1000, advice: 'name fewer secrets' },
  {
    field: TransformSchema.field.acceptReturnCode,
    countMax: 1000,
    advice: 'a program has 256 return codes',
  },

  // Services of our own
  { field: ListReposRequestSchema.field.provenance, countMax: 1000, advice: 'name fewer repos' },
  { field: ListJobsRequestSchema.field.inputCommit, countMax: 1000, advice: inParts },
  { field: PutFilesRequestSchema.field.parts, countMax: putFilesPartsMax, advice: inMessages },
  { field: PutSourcesRequestSchema.field.sources, countMax: 100_000, advice: inParts },
  { field: GetFilesRequestSchema.field.paths, countMax: 10_000, advice: inParts },
  { field: GetChunksRequestSchema.field.ids, countMax: 1000, advice: inParts },
  { field: PullRequestSchema.field.repos, countMax: 1000, advice: 'name none, and all come' },
  { field: RestoreReposRequestSchema.field.repos, countMax: 1000, advice: inParts },
  { field: PushRequestSchema.field.repos, countMax: 1000, advice: 'name none, and all come' },
  { field: DeleteCommitsRequestSchema.field.commits, countMax: 2000, advice: inParts },
  { field: ValidatePipelinesRequestSchema.field.specs, countMax: 100, advice: inParts },
  { field: PlanRequestSchema.field.before, countMax: 100, advice: 'send those that it needs' },
  { field: CreateSecretRequestSchema.field.entries, countMax: 100, advice: severalSecrets },
  { field: UpdateSecretRequestSchema.field.entries, countMax: 100, advice: severalSecrets },
  { field: CreateTrialRequestSchema.field.specs, countMax: 100, advice: oneTrial },
  { field: CreateTrialRequestSchema.field.data, countMax: 100, advice: oneTrial },
  {
    field: RunTransactionRequestSchema.field.operations,
    countMax: 256,
    advice: 'put files into an open commit before, which the transaction finishes',
  },

  // auth.API
  { field: ACLSchema.field.entries, countMax: 10_000, advice: 'give groups access' },
  { field: GetScopeRequestSchema.field.repos, countMax: 10_000, advice: inParts },
  { field: ActivateRequestSchema.field.admins, countMax: 1000, advice: 'name fewer admins' },
]

export const requestLimits: MessageLimits = new MessageLimits({
  fields,
  messages: [
    // Each source has up to three fields, and is one itself.
    { message: PutSourcesRequestSchema, fieldsMax: 400_100 },
    // All specs are tried in one transaction.
    { message: ValidatePipelinesRequestSchema, bytesMax: 4 * 1024 * 1024 },
    { message: PlanRequestSchema, bytesMax: 4 * 1024 * 1024 },
    { message: CreateTrialRequestSchema, bytesMax: 4 * 1024 * 1024 },
  ],
})
