import type { CommandFamily, FlagSpec } from '../command.ts'
import { rawFlag, templateFlags } from './common-flags.ts'

const pipelines = async () => import('../commands/pipelines.ts')
const specs = async () => import('../commands/pipeline-specs.ts')

const specFlags: readonly FlagSpec[] = [
  {
    name: 'file',
    short: 'f',
    value: 'SOURCE',
    about: 'the specs: a local file, an http or https URL, or - for standard input (default "-")',
  },
  ...templateFlags,
]

const applyFlags: readonly FlagSpec[] = [
  ...specFlags,
  {
    name: 'build',
    value: 'FOLDER',
    about:
      "have the server's container engine build the image from a folder with a Dockerfile, or with code alone",
  },
  { name: 'push-images', short: 'p', about: 'push local images first; comes later' },
  {
    name: 'registry',
    short: 'r',
    value: 'HOST',
    default: 'docker.io',
    about: 'with --push-images: where to',
  },
  { name: 'username', short: 'u', value: 'NAME', about: 'with --push-images: as whom' },
  { name: 'password', value: 'TEXT', about: 'with --push-images: the password' },
]

const specDetails = `A spec is the JSON form of CreatePipelineRequest, or the same in YAML. Several may follow each
other (in YAML parted by ---); they take effect in order, up to the first that is refused.`

const formatFlag: FlagSpec = {
  name: 'output',
  short: 'o',
  value: 'FORMAT',
  default: 'json',
  about: 'json or yaml',
}

export const pipelineCommands: CommandFamily = {
  title: 'Pipelines',
  commands: [
    {
      name: 'create-pipeline',
      arguments: '',
      about: 'make pipelines from specs',
      details: specDetails,
      examples: [
        'pachctl create-pipeline -f edges.json',
        'pachctl create-pipeline < edges.yaml',
        'pachctl create-pipeline --template resize.yaml --arg name=small --arg width:=200',
      ],
      flags: applyFlags,
      inTransaction: 'beside',
      load: async () => (await specs()).createPipeline,
    },
    {
      name: 'update-pipeline',
      arguments: '',
      about: 'change pipelines as specs say',
      details: specDetails,
      flags: [
        ...applyFlags,
        { name: 'reprocess', about: 'process what has been processed already, too' },
      ],
      inTransaction: 'beside',
      load: async () => (await specs()).updatePipeline,
    },
    {
      name: 'plan',
      arguments: '',
      about: 'say what create-pipeline or update-pipeline would run; nothing is stored',
      details: `For each spec: the jobs that would be made, the commits that they would read, and how many of
their datums would be processed or skipped. The pipeline is updated if it exists, else made.`,
      examples: ['pachctl plan -f edges.json', 'pachctl plan -f edges.json --reprocess'],
      flags: [
        ...specFlags,
        { name: 'reprocess', about: 'as if update-pipeline were given --reprocess' },
        rawFlag,
      ],
      load: async () => (await import('../commands/plan.ts')).plan,
    },
    {
      name: 'validate-pipeline',
      arguments: '',
      about: 'tell what would become of specs, and change nothing',
      details: `The server checks the specs as create-pipeline and update-pipeline would have it do, one after the
other, so that later ones may read what earlier ones write. Fails when one would be refused.`,
      examples: ['pachctl validate-pipeline -f edges.json'],
      flags: specFlags,
      load: async () => (await specs()).validatePipeline,
    },
    {
      name: 'extract-pipeline',
      arguments: '[PIPELINE]',
      about: 'print the spec that makes a pipeline as it is',
      examples: ['pachctl extract-pipeline --all -o yaml > pipelines.yaml'],
      flags: [formatFlag, { name: 'all', about: 'of every pipeline, each after those it reads' }],
      load: async () => (await import('../commands/extract-pipeline.ts')).extractPipeline,
    },
    {
      name: 'convert-spec',
      arguments: '',
      about: 'print specs of 1.3 or 1.4 as they are written now',
      details:
        'Specs go to standard output; what has no equal, or means something else, is said on standard error. Nothing is made: look at them, and give them to create-pipeline.',
      examples: ['pachctl convert-spec -f old.json > new.json'],
      flags: [
        {
          name: 'file',
          short: 'f',
          value: 'FILE',
          default: '-',
          about: 'the specs: a file, a URL, or - for standard input',
        },
      ],
      load: async () => (await import('../commands/convert-spec.ts')).convertSpecs,
    },
    {
      name: 'edit-pipeline',
      arguments: 'PIPELINE',
      about: 'change a pipeline in an editor ($VISUAL, $EDITOR or vi)',
      flags: [
        formatFlag,
        { name: 'reprocess', about: 'process what has been processed already, too' },
      ],
      inTransaction: 'beside',
      load: async () => (await import('../commands/edit-pipeline.ts')).editPipeline,
    },
    {
      name: 'inspect-pipeline',
      arguments: 'PIPELINE',
      about: 'show a pipeline',
      flags: [rawFlag],
      load: async () => (await pipelines()).inspectPipeline,
    },
    {
      name: 'list-pipeline',
      arguments: '',
      about: 'list pipelines',
      flags: [rawFlag],
      load: async () => (await pipelines()).listPipeline,
    },
    {
      name: 'delete-pipeline',
      arguments: '[PIPELINE]',
      about: 'delete a pipeline',
      details:
        'Without --delete-repo the output repo stays as it is: nothing comes to it any more, and flush-commit does not wait for it.',
      flags: [
        { name: 'all', about: 'delete every pipeline' },
        { name: 'delete-jobs', about: 'delete its jobs, too' },
        { name: 'delete-repo', about: 'delete its output repo, too' },
        {
          name: 'cascade',
          about: 'delete, in the same way, all pipelines that read its output, directly or not',
        },
      ],
      errorPrefix: 'error from delete-pipeline: ',
      showsStatus: true,
      inTransaction: 'beside',
      load: async () => (await pipelines()).deletePipeline,
    },
    {
      name: 'start-pipeline',
      arguments: 'PIPELINE',
      about: 'go on with a stopped pipeline',
      flags: [],
      errorPrefix: 'error from StartPipeline: ',
      inTransaction: 'beside',
      load: async () => (await pipelines()).startPipeline,
    },
    {
      name: 'stop-pipeline',
      arguments: 'PIPELINE',
      about: 'stop a pipeline; its running job goes on when it is started again',
      flags: [],
      errorPrefix: 'error from StopPipeline: ',
      inTransaction: 'beside',
      load: async () => (await pipelines()).stopPipeline,
    },
    {
      name: 'run-pipeline',
      arguments: 'PIPELINE [REPO/COMMIT...]',
      about: 'make a job of a pipeline now, and print its id',
      details: `The job reads the commits that are named and, of the other inputs, the heads of their branches.
Datums that have a result are skipped, so over commits whose job failed it tries again what failed.
To process everything again there is update-pipeline --reprocess.`,
      examples: ['pachctl run-pipeline edges', 'pachctl run-pipeline edges images@master^'],
      flags: [
        {
          name: 'file',
          short: 'f',
          value: 'SOURCE',
          about: 'the JSON form of CreateJobRequest: a file, a URL, or - for standard input',
        },
      ],
      inTransaction: 'beside',
      load: async () => (await import('../commands/run-pipeline.ts')).runPipeline,
    },
  ],
}
