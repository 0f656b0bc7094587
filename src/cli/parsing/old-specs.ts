import { InvalidArgumentError } from '../../base/errors.ts'
import { CreatePipelineRequestSchema } from '../../gen/pps_pb.ts'
import { messageFromJson } from './json-messages.ts'
import { specAdvice } from './spec-advice.ts'

/** A JSON object. */
type Json = Readonly<Record<string, unknown>>

export interface ConvertedSpec {
  readonly spec: Json
  /** Sentences without a full stop: of each thing that has no equal, or means something else. */
  readonly warnings: readonly string[]
}

/** What 1.3 called a way to cut up an input, and to run over what is new. */
const aliases: Readonly<Record<string, Method>> = {
  map: { partition: 'BLOCK', incremental: 'DIFF' },
  reduce: { partition: 'FILE', incremental: 'NONE' },
  incremental_reduce: { partition: 'FILE', incremental: 'DIFF' },
  global: { partition: 'REPO', incremental: 'NONE' },
}

interface Method {
  readonly partition: string
  readonly incremental: string
}

/** Fields of 1.3 that mean nothing any more, and why. */
const dropped: Readonly<Record<string, string>> = {
  gc_policy: 'jobs leave nothing behind that would have to be deleted',
  no_archive: 'the output of a job replaces what the job before it wrote',
  update: 'update-pipeline says so',
}

/** Fields by the names that they have now; those of 1.4 were partly written in another way. */
const spellings: Readonly<Record<string, string>> = {
  imagePullSecrets: 'image_pull_secrets',
  acceptReturnCode: 'accept_return_code',
  parallelismSpec: 'parallelism_spec',
  gcPolicy: 'gc_policy',
  noArchive: 'no_archive',
  outputBranch: 'output_branch',
  scaleDownThreshold: 'scale_down_threshold',
  resourceSpec: 'resource_spec',
  cacheSize: 'cache_size',
  enableStats: 'enable_stats',
}

/**
 * Makes of a pipeline spec of 1.3 or 1.4 one that create-pipeline takes.
 *
 * @throws {InvalidArgumentError} for what is no object.
 */
export function convertSpec(value: unknown): ConvertedSpec {
  const old = renamed(objectOf(value, 'a spec'))
  const warnings: string[] = []
  const spec: Record<string, unknown> = {}
  for (const [field, content] of Object.entries(old)) {
    const reason = dropped[field]
    if (reason !== undefined) warnings.push(`${field} is left out: ${reason}`)
    else convertField(field, content, spec, warnings)
  }
  warnings.push(...refusals(spec), ...scriptWarnings(JSON.stringify(old['transform'] ?? null)))
  return { spec, warnings }
}

/** What of it create-pipeline would refuse, each by itself. */
function refusals(spec: Json): readonly string[] {
  return Object.entries(spec).flatMap(([field, content]) => {
    try {
      messageFromJson(CreatePipelineRequestSchema, { [field]: content }, 'a spec', specAdvice)
      return []
    } catch (error) {
      if (!(error instanceof InvalidArgumentError)) throw error
      return `create-pipeline will refuse this: ${error.message}`
    }
  })
}

function convertField(
  field: string,
  content: unknown,
  spec: Record<string, unknown>,
  warnings: string[],
): void {
  switch (field) {
    case 'transform':
      spec['transform'] = transformOf(content, warnings)
      return
    case 'parallelism':
      spec['parallelism_spec'] = { constant: Number(content) }
      return
    case 'parallelism_spec':
      spec['parallelism_spec'] = parallelismOf(content)
      return
    case 'inputs':
      spec['input'] = inputOf(content, warnings)
      return
    case 'output':
      spec['egress'] = { URL: textOf(objectOf(content, 'output')['URL']) }
      warnings.push(
        'output is egress now: pachd needs credentials for the URL, its own or those of a secret (egress.secret)',
      )
      return
    case 'resources':
      spec['resource_spec'] = content
      return
    default:
      spec[field] = content
  }
}

function renamed(fields: Json): Json {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [spellings[name] ?? name, value]),
  )
}

function objectOf(value: unknown, what: string): Json {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json
  throw new InvalidArgumentError(`${what} should be an object in braces`)
}

function textOf(value: unknown, otherwise = ''): string {
  return typeof value === 'string' ? value : otherwise
}

function transformOf(content: unknown, warnings: string[]): Json {
  const { overwrite, ...transform } = renamed(objectOf(content, 'transform'))
  if (overwrite !== undefined) {
    warnings.push(
      'transform.overwrite is left out: what a datum wrote is replaced whenever it runs again',
    )
  }
  return transform
}

/** The strategy follows from which of the two is set. */
function parallelismOf(content: unknown): Json {
  const { strategy, ...rest } = objectOf(content, 'parallelism_spec')
  const wanted = strategy === 'CONSTANT' || strategy === 'COEFFICIENT' ? strategy.toLowerCase() : ''
  return wanted === '' || rest[wanted] === undefined ? rest : { [wanted]: rest[wanted] }
}

function inputOf(content: unknown, warnings: string[]): Json {
  if (!Array.isArray(content) || content.length === 0) {
    throw new InvalidArgumentError('inputs should be a list of at least one')
  }
  const atoms = content.map((input) => atomOf(objectOf(input, 'an input'), warnings))
  const [only] = atoms
  return atoms.length === 1 && only !== undefined ? only : { cross: atoms }
}

/** An input of 1.4 has a glob, one of 1.3 a method. */
function atomOf(input: Json, warnings: string[]): Json {
  const repo = textOf(objectOf(input['repo'] ?? {}, "an input's repo")['name'])
  const from = objectOf(input['from'] ?? {}, "an input's from")['id']
  const lazy = input['lazy'] === true ? { lazy: true } : {}
  if (typeof input['glob'] === 'string') {
    const { name, branch, glob } = input
    return {
      atom: {
        ...(name !== undefined && { name }),
        repo,
        ...(branch !== undefined && { branch }),
        glob,
        ...lazy,
        ...(from !== undefined && { from_commit: from }),
      },
    }
  }
  const { partition, incremental } = methodOf(input['method'], repo)
  warnings.push(
    `input ${repo}: 1.3 ran on commits to any branch, and this reads master only: name another with "branch"`,
  )
  if (partition === 'BLOCK') {
    warnings.push(
      `input ${repo}: 1.3 cut its files into blocks; put them with put-file --split, and count one more /* in the glob for each directory that they are in`,
    )
  }
  if (incremental !== 'NONE') {
    warnings.push(
      `input ${repo}: 1.3 ran over what was new; here, too, a datum that has not changed is not processed again. Where code adds to what it wrote before (a running sum, /pfs/prev), set "incremental": true, which puts the former output into /pfs/out`,
    )
  }
  if (input['runEmpty'] === true || input['run_empty'] === true) {
    warnings.push(`input ${repo}: runEmpty is left out: without datums, a job ends at once`)
  }
  const globs: Readonly<Record<string, string>> = { BLOCK: '/*/*', FILE: '/*', REPO: '/' }
  return { atom: { repo, glob: globs[partition] ?? '/*', ...lazy } }
}

function methodOf(method: unknown, repo: string): Method {
  if (method === undefined || method === '') return aliases['map'] ?? noMethod
  if (typeof method === 'string') {
    const known = aliases[method]
    if (known !== undefined) return known
    throw new InvalidArgumentError(
      `input ${repo}: method ${JSON.stringify(method)} is none of ${Object.keys(aliases).join(', ')}`,
    )
  }
  const { partition, incremental } = objectOf(method, "an input's method")
  return {
    partition: textOf(partition, 'BLOCK').toUpperCase(),
    incremental: textOf(incremental, 'NONE').toUpperCase(),
  }
}

const noMethod: Method = { partition: 'FILE', incremental: 'NONE' }

/** Things that code of 1.3 finds, and code here does not. */
function scriptWarnings(code: string): readonly string[] {
  const warnings: string[] = []
  if (code.includes('/pfs/prev')) {
    warnings.push(
      'its code reads /pfs/prev, which is not there: with "incremental": true, the former output is in /pfs/out',
    )
  }
  const variables = new Set(code.match(/PACH_(?:OUTPUT_COMMIT_ID|[A-Z0-9_]+_COMMIT_ID)/g))
  for (const variable of variables) {
    warnings.push(
      `its code reads $${variable}, which is not set: inspect-job says which commits a job reads`,
    )
  }
  return warnings
}
