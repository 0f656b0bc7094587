import { InvalidArgumentError } from '../../base/errors.ts'

/** How a folder without a Dockerfile is made an image, and run. */
export interface Recipe {
  /** Of the image. */
  readonly dockerfile: string
  /** The command of a spec that has none. */
  readonly command: readonly string[]
  /** Runs it where there is no image: a script of a shell that finds the folder at `$PFS/source`. */
  readonly sourceScript: string
  /** What the folder is taken for, for people. */
  readonly language: string
}

interface Language {
  readonly name: string
  readonly image: string
  /** Files that tell it, each enough by itself. */
  readonly marks: readonly string[]
  /** Of the file to start: the first of these names, else the only one with this extension. */
  readonly mains: readonly string[]
  readonly extensions: readonly string[]
  /** What fetches the packages that the folder says it needs; nothing when it says none. */
  readonly install: (files: ReadonlySet<string>) => string | undefined
  readonly command: (main: string) => readonly string[]
  /** In place of the command, where there is no image. */
  readonly sourceScript?: string
}

const place = '/app'

// The first that fits: a folder of Python may have a script in shell, too.
const languages: readonly Language[] = [
  {
    name: 'Go',
    image: 'golang:1.25',
    marks: ['go.mod'],
    mains: ['main.go'],
    extensions: ['.go'],
    install: (files) =>
      files.has('go.mod')
        ? 'go build -o /usr/local/bin/pipeline .'
        : 'go build -o /usr/local/bin/pipeline *.go',
    command: () => ['/usr/local/bin/pipeline'],
    sourceScript: 'cd "$PFS/source" && exec go run .',
  },
  {
    name: 'Python',
    image: 'python:3.13-slim',
    marks: ['requirements.txt', 'pyproject.toml'],
    mains: ['main.py', 'app.py', '__main__.py'],
    extensions: ['.py'],
    install: (files) => {
      if (files.has('requirements.txt')) return 'pip install --no-cache-dir -r requirements.txt'
      return files.has('pyproject.toml') ? 'pip install --no-cache-dir .' : undefined
    },
    command: (main) => ['python3', '-B', `${place}/${main}`],
  },
  {
    name: 'JavaScript',
    image: 'node:24-slim',
    marks: ['package.json'],
    mains: ['index.js', 'index.mjs', 'main.js', 'main.mjs', 'index.ts', 'main.ts'],
    extensions: ['.js', '.mjs', '.cjs', '.ts'],
    install: (files) => {
      if (files.has('package-lock.json')) return 'npm ci --omit=dev'
      return files.has('package.json') ? 'npm install --omit=dev' : undefined
    },
    command: (main) => ['node', `${place}/${main}`],
  },
  {
    name: 'R',
    image: 'r-base:4.5.1',
    marks: [],
    mains: ['main.R', 'main.r'],
    extensions: ['.R', '.r'],
    install: () => undefined,
    command: (main) => ['Rscript', `${place}/${main}`],
  },
  {
    name: 'Ruby',
    image: 'ruby:3.4-slim',
    marks: ['Gemfile'],
    mains: ['main.rb'],
    extensions: ['.rb'],
    install: (files) => (files.has('Gemfile') ? 'bundle install' : undefined),
    command: (main) => ['ruby', `${place}/${main}`],
  },
  {
    name: 'shell',
    image: 'debian:12-slim',
    marks: [],
    mains: ['main.sh', 'run.sh'],
    extensions: ['.sh'],
    install: () => undefined,
    command: (main) => ['sh', `${place}/${main}`],
  },
]

/**
 * What to make of a folder that holds these files, as paths in it.
 *
 * @throws {InvalidArgumentError} when no language is found, or no file to start.
 */
export function recipeFor(folder: string, paths: readonly string[]): Recipe {
  const files = new Set(paths.filter((path) => !path.includes('/')))
  for (const language of languages) {
    const sources = [...files].filter((name) =>
      language.extensions.some((extension) => name.endsWith(extension)),
    )
    const isMarked = language.marks.some((mark) => files.has(mark))
    if (!isMarked && sources.length === 0) continue
    const main =
      language.mains.find((name) => files.has(name)) ??
      (sources.length === 1 ? sources[0] : undefined)
    // A name that is a word of a shell, as it is.
    if (main === undefined || !/^\w[\w.-]*$/.test(main)) {
      throw new InvalidArgumentError(
        `${folder} is ${language.name}, but which file to start is not clear: name it ${language.mains[0]}, or write a Dockerfile`,
      )
    }
    return recipe(language, main, files)
  }
  throw new InvalidArgumentError(
    `${folder} has no Dockerfile, and no file tells its language (${languages.map(({ mains }) => mains[0]).join(', ')}): write a Dockerfile`,
  )
}

function recipe(language: Language, main: string, files: ReadonlySet<string>): Recipe {
  const { name, image, install, command } = language
  const run = install(files)
  const lines = [
    `FROM ${image}`,
    `WORKDIR ${place}`,
    `COPY . ${place}`,
    ...(run === undefined ? [] : [`RUN ${run}`]),
  ]
  const found = command(main)
  const [program = '', ...rest] = found
  const words = rest.map((word) => word.replace(place, '"$PFS/source"'))
  const sourceScript = language.sourceScript ?? `exec ${[program, ...words].join(' ')}`
  return { dockerfile: `${lines.join('\n')}\n`, command: found, sourceScript, language: name }
}
