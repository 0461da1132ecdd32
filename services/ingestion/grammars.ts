import type { SplitFamily } from "./languages.ts";

/** How the syntax tree of a language names what has a name. */
export interface Grammar {
  /** Of the file in the package of grammars. */
  readonly name: string;
  /** Types of nodes that are a definition, by the field that holds their name; separated by spaces. */
  readonly definitions: Readonly<Record<string, string>>;
  /** Types of nodes around a single definition that belong to it: `export`, decorators, templates. */
  readonly wrappers: string;
  /** Wrappers only where they hold a single definition; several in one stand for themselves. */
  readonly lists?: string;
  /** Types of nodes that belong to what follows them. */
  readonly preludes: string;
  /** Definitions only where their field `value` is of one of these types. */
  readonly valued?: { readonly types: string; readonly values: string };
  /** Definitions only where they have a body: elsewhere the word names a type. */
  readonly bodied?: string;
  /** Definitions within which none is looked for. */
  readonly leaves?: string;
  /** Types of nodes that hold no definition. */
  readonly barren: string;
  /** Whether `<` begins a list of types as well as it compares: the parser follows both. */
  readonly isAmbiguous?: boolean;
  /** The field of the type that a method belongs to, where that stands elsewhere. */
  readonly receiver?: string;
}

const script = {
  definitions: {
    name:
      "class_declaration abstract_class_declaration interface_declaration enum_declaration " +
      "type_alias_declaration function_declaration generator_function_declaration " +
      "method_definition internal_module module variable_declarator public_field_definition",
    property: "field_definition",
  },
  wrappers: "export_statement ambient_declaration expression_statement",
  lists: "lexical_declaration variable_declaration",
  preludes: "comment decorator",
  barren:
    "import_statement formal_parameters type_annotation type_parameters type_arguments " +
    "interface_body object_type string template_string",
  valued: {
    types: "variable_declarator public_field_definition field_definition",
    values: "arrow_function function_expression generator_function class",
  },
};

export const grammars: Partial<Record<SplitFamily, Grammar>> = {
  cpp: {
    name: "cpp",
    definitions: {
      name: "class_specifier struct_specifier union_specifier enum_specifier namespace_definition",
      declarator: "function_definition",
    },
    wrappers: "template_declaration",
    preludes: "comment",
    bodied: "class_specifier struct_specifier union_specifier enum_specifier",
    leaves: "function_definition",
    barren: "preproc_include preproc_def preproc_function_def",
    isAmbiguous: true,
  },
  csharp: {
    name: "c-sharp",
    definitions: {
      name:
        "namespace_declaration class_declaration struct_declaration record_declaration " +
        "interface_declaration enum_declaration method_declaration constructor_declaration " +
        "local_function_statement delegate_declaration",
    },
    wrappers: "",
    preludes: "comment",
    leaves: "method_declaration constructor_declaration",
    barren: "using_directive field_declaration property_declaration attribute_list",
  },
  go: {
    name: "go",
    definitions: { name: "function_declaration method_declaration type_spec type_alias" },
    wrappers: "",
    lists: "type_declaration",
    preludes: "comment",
    receiver: "receiver",
    leaves: "function_declaration method_declaration",
    barren: "import_declaration const_declaration var_declaration",
  },
  java: {
    name: "java",
    definitions: {
      name:
        "class_declaration interface_declaration enum_declaration record_declaration " +
        "annotation_type_declaration method_declaration constructor_declaration " +
        "compact_constructor_declaration",
    },
    wrappers: "",
    preludes: "line_comment block_comment",
    leaves: "method_declaration constructor_declaration compact_constructor_declaration",
    barren: "import_declaration field_declaration annotation",
  },
  php: {
    name: "php",
    definitions: {
      name:
        "class_declaration interface_declaration trait_declaration enum_declaration " +
        "function_definition method_declaration",
    },
    wrappers: "",
    preludes: "comment",
    leaves: "function_definition method_declaration",
    barren: "namespace_use_declaration property_declaration",
  },
  python: {
    name: "python",
    definitions: { name: "class_definition function_definition" },
    wrappers: "decorated_definition",
    preludes: "comment",
    barren:
      "expression_statement return_statement import_statement import_from_statement assert_statement raise_statement parameters",
  },
  ruby: {
    name: "ruby",
    definitions: { name: "module class method singleton_method" },
    wrappers: "",
    preludes: "comment",
    leaves: "method singleton_method",
    barren: "call assignment",
  },
  rust: {
    name: "rust",
    definitions: {
      name:
        "function_item function_signature_item struct_item enum_item union_item trait_item " +
        "mod_item macro_definition",
      type: "impl_item",
    },
    wrappers: "",
    preludes: "line_comment block_comment attribute_item",
    leaves: "function_item",
    barren: "use_declaration const_item static_item macro_invocation",
  },
  script: { name: "javascript", ...script },
  shell: {
    name: "bash",
    definitions: { name: "function_definition" },
    wrappers: "",
    preludes: "comment",
    leaves: "function_definition",
    barren: "command variable_assignment",
  },
  tsx: { name: "tsx", ...script },
  typescript: { name: "typescript", ...script },
};
