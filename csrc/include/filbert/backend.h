/* The op table: the contract between the engine and a backend (linked in, or a plug-in). C only.
 *
 * Activations are row-major matrices [tokens, width] in the backend's memory ("device" below; for the CPU, plain
 * memory). The type of their numbers is the backend's affair: describe() gives its size, read() makes float32 of them.
 * A batch is packed: sequence s is tokens [cu_seqlens[s], cu_seqlens[s+1]). Sizes are checked by the caller; every
 * index was checked against its table before an op sees it. No op aliases its inputs with its output, but where it says
 * "in place". The result of a row never depends on other rows, except inside its own sequence in ops on sequences.
 * Calls on one context may come from several threads at once. */
#ifndef FILBERT_BACKEND_H
#define FILBERT_BACKEND_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FILBERT_BACKEND_ABI 12

typedef enum filbert_status {
  FILBERT_OK = 0,
  FILBERT_OUT_OF_MEMORY = 1,
  FILBERT_UNAVAILABLE = 2,      /* no such device or instruction set; error_message says why */
  FILBERT_INVALID_ARGUMENT = 3, /* an option out of range */
  FILBERT_FAILED = 4            /* the device reported an error */
} filbert_status;

/* Of stored tensors: all but I8. Of the operands of matrix products: all but F64; sums are float32. */
typedef enum filbert_dtype {
  FILBERT_F32 = 0,
  FILBERT_F16 = 1,
  FILBERT_BF16 = 2,
  FILBERT_F64 = 3,
  FILBERT_I8 = 4 /* weights with a scale per output, activations with a scale per token, sums in int32 */
} filbert_dtype;

typedef enum filbert_activation {
  FILBERT_IDENTITY = 0,
  FILBERT_GELU_ERF = 1,      /* x/2 (1 + erf(x/sqrt 2)); Hendrycks and Gimpel, arXiv:1606.08415 */
  FILBERT_GELU_TANH = 2,     /* x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))); the same paper */
  FILBERT_GELU_ERF_CLIP = 3, /* GELU_ERF clipped to [-10, 10]; arXiv:2004.09602 */
  FILBERT_QUICK_GELU = 4,    /* x sigmoid(1.702 x) */
  FILBERT_RELU = 5,
  FILBERT_RELU2 = 6, /* max(x, 0)^2 */
  FILBERT_RELU6 = 7,
  FILBERT_SILU = 8, /* x sigmoid(x) */
  FILBERT_TANH = 9,
  FILBERT_SIGMOID = 10,
  FILBERT_LEAKY_RELU = 11, /* slope 0.01 */
  FILBERT_MISH = 12,       /* x tanh(log(1 + e^x)) */
  FILBERT_ACTIVATIONS = 13 /* how many there are */
} filbert_activation;

typedef enum filbert_pooling {
  FILBERT_POOL_FIRST = 0,
  FILBERT_POOL_MEAN = 1,
  FILBERT_POOL_MAX = 2,
  FILBERT_POOL_LAST = 3
} filbert_pooling;

typedef enum filbert_weight_kind {
  FILBERT_MATRIX = 0,       /* what linear multiplies by: [out, in]; laid out at load */
  FILBERT_VECTOR = 1,       /* a bias, a scale, or numbers of another use */
  FILBERT_TABLE = 2,        /* float32 rows, gathered or a router's; an aligned source may be used in place */
  FILBERT_GATED_MATRIX = 3, /* two parts [out, in]: the gate, whose outputs are activated, and what they multiply */
  FILBERT_GATED_VECTOR = 4  /* two parts [out]: the bias of a gated matrix */
} filbert_weight_kind;

typedef struct filbert_context filbert_context;
typedef struct filbert_weight filbert_weight;
typedef struct filbert_recording filbert_recording;
typedef struct filbert_mark filbert_mark;

/* A tensor in host memory, row-major, any alignment. A vector has cols == 1. */
typedef struct filbert_host_tensor {
  const void* data;
  filbert_dtype dtype;
  size_t rows;
  size_t cols;
} filbert_host_tensor;

/* The norm whose output a matrix multiplies; beta has no data if there is none. It tells how large the columns come in,
 * and the matrix's rows from first_row on how much each counts, which int8 makes use of. */
typedef struct filbert_input_norm {
  filbert_host_tensor gamma, beta;
  size_t first_row;
} filbert_input_norm;

/* Queries of one sequence: `filbert_query_tiles.queries` of them, or those that are left. */
typedef struct filbert_query_tile {
  int32_t sequence;    /* or as many as there are sequences: the tile is empty */
  int32_t first_query; /* counted from the sequence's first token */
} filbert_query_tile;

/* Every query of a batch once. For backends that start a share of work for each tile, rather than as many for every
 * sequence as the longest one has. */
typedef struct filbert_query_tiles {
  const filbert_query_tile* list; /* [count] those of sequences with many first; or null: there would be no fewer */
  size_t count;
  size_t queries; /* of a tile, as the device's description wants it */
} filbert_query_tiles;

/* A packed batch, in device memory. Whatever else of it an op comes to need is a field here. */
typedef struct filbert_batch {
  const int32_t* cu_seqlens; /* [sequences + 1] */
  const int32_t* key_begin;  /* [sequences] first key of each sequence, or null: cu_seqlens. Earlier tokens are
                                query-only: they are no keys. */
  const int32_t* columns;    /* [tokens] where each stood in its row; within a sequence each is larger than the last */
  size_t sequences;
  size_t max_length;
  const int32_t* key_end; /* [sequences] where the keys of each sequence end, or null: cu_seqlens. Later tokens are
                             query-only. */
  filbert_query_tiles tiles;
} filbert_batch;

/* Heads side by side: columns [column, column + heads * head_size) of a matrix [rows, width] that a linear op with that
 * head_size made. Only ops on heads read it, so how it lies in memory is the backend's affair, and nothing else in the
 * list of that linear op may use its memory. Ops in place come right behind the linear op, in its list. */
typedef struct filbert_heads {
  void* x;       /* that linear op's out */
  size_t width;  /* whole heads */
  size_t column; /* where a head begins */
  size_t rows;   /* tokens of that linear op */
} filbert_heads;

/* out[t] = word_scale word_scales[t] word[ids[t]] + type[types[t]] + position[positions[t]], without null tables. */
typedef struct filbert_embed_args {
  const int32_t* ids;       /* [tokens] */
  const int32_t* types;     /* [tokens] */
  const int32_t* positions; /* [tokens] */
  const filbert_weight* word;
  const filbert_weight* type;
  const filbert_weight* position;
  size_t width;
  void* out; /* [tokens, width] */
  float word_scale;
  const float* word_scales; /* [tokens] or null: ones */
} filbert_embed_args;

/* out = activation(x weight^T + bias) + residual. Of a gated weight, out = activation(x gate^T + gate bias) times
 * (x other^T + other bias), without a residual; Shazeer, arXiv:2002.05202. */
typedef struct filbert_linear_args {
  const void* x; /* [tokens, in] */
  const filbert_weight* weight;
  const filbert_weight* bias; /* [out], or gated as the weight is, or null */
  const void* residual;       /* [tokens, out] or null */
  filbert_activation activation;
  void* out;        /* [tokens, out] */
  size_t head_size; /* 0, or: out is heads of so many numbers (filbert_heads) */
} filbert_linear_args;

typedef enum filbert_norm_kind {
  FILBERT_LAYER_NORM = 0, /* (x - mean) / sqrt(biased variance + eps) gamma + beta; Ba et al., arXiv:1607.06450 */
  FILBERT_RMS_NORM = 1    /* x / sqrt(mean of squares + eps) gamma + beta; Zhang and Sennrich, arXiv:1910.07467 */
} filbert_norm_kind;

typedef struct filbert_norm_args {
  filbert_norm_kind kind;
  const void* x;               /* [tokens, width] */
  const filbert_weight* gamma; /* [width] */
  const filbert_weight* beta;  /* [width] or null */
  float eps;
  size_t width;
  void* out;            /* [tokens, width] */
  const void* residual; /* [tokens, width] or null: what is added to the norm */
} filbert_norm_args;

/* out = factor x y, number by number. */
typedef struct filbert_multiply_args {
  const void* x;                /* [tokens, width] */
  const void* y;                /* [tokens, width] or null: ones */
  const filbert_weight* factor; /* [1] or null: 1 */
  size_t width;
  void* out; /* [tokens, width] */
} filbert_multiply_args;

/* A norm of each head, in place. Neighbours may be normed together: as one head of their width. */
typedef struct filbert_head_norm_args {
  filbert_norm_kind kind;
  filbert_heads heads;
  size_t count; /* of heads */
  size_t head_size;
  const filbert_weight* gamma; /* [head_size] */
  const filbert_weight* beta;  /* [head_size] or null */
  float eps;
} filbert_head_norm_args;

/* Rotary positions, in place: of each head the numbers i and i + rotary / 2, i < rotary / 2, turn by positions[t]
 * frequencies[i]; Su et al., arXiv:2104.09864. */
typedef struct filbert_rope_args {
  filbert_heads heads;
  size_t count; /* of heads */
  size_t head_size;
  const int32_t* positions;          /* [tokens], at most 2^24 */
  const filbert_weight* frequencies; /* [rotary / 2] */
  size_t rotary;                     /* even, at most head_size */
} filbert_rope_args;

/* What only looks at one token at a time. */
typedef enum filbert_token_op_kind {
  FILBERT_EMBED = 0,
  FILBERT_LINEAR = 1,
  FILBERT_NORM = 2,
  FILBERT_HEAD_NORM = 3,
  FILBERT_ROPE = 4,
  FILBERT_MULTIPLY = 5
} filbert_token_op_kind;

/* Who reads what an op in a list writes. */
typedef enum filbert_readers {
  FILBERT_OTHERS = 0,          /* not the next op in the list */
  FILBERT_NEXT_AND_OTHERS = 1, /* the next one, as its x, and others */
  FILBERT_NEXT_ALONE = 2       /* the next one, as its x: it may be handed on in another form, and out left unwritten */
} filbert_readers;

typedef struct filbert_token_op {
  filbert_token_op_kind kind;
  filbert_readers readers;
  union {
    filbert_embed_args embed;
    filbert_linear_args linear;
    filbert_norm_args norm;
    filbert_head_norm_args head_norm;
    filbert_rope_args rope;
    filbert_multiply_args multiply;
  } args;
} filbert_token_op;

typedef enum filbert_rows { FILBERT_ROWS_ALL = 0, FILBERT_ROWS_FIRST = 1, FILBERT_ROWS_LAST = 2 } filbert_rows;

/* Per sequence and head: out = softmax(scale q k^T + bias) v; Vaswani et al., arXiv:1706.03762. A query that sees no
 * key gives zeros; of an empty sequence nothing is written. */
typedef struct filbert_attention_args {
  const filbert_batch* batch;
  filbert_heads q; /* `heads` heads */
  filbert_heads k; /* `kv_heads` heads, each for heads / kv_heads neighbours of q's */
  filbert_heads v; /* the same */
  size_t heads;
  size_t kv_heads;
  size_t head_size;
  float scale;
  int causal;                 /* a query sees no key after itself */
  size_t window;              /* 0, or: it sees keys at most so many columns away */
  const filbert_weight* bias; /* or null: [heads, 2 bias_reach + 1], by the key's column minus the query's, clipped */
  size_t bias_reach;
  filbert_rows rows;                  /* which tokens of each sequence ask */
  void* out;                          /* [tokens, heads * head_size]; one row a sequence unless all ask */
  float* probabilities;               /* or null; sequence s at probability_offsets[s]: [heads, length, length] */
  const int64_t* probability_offsets; /* [sequences], in floats */
} filbert_attention_args;

/* The same with terms for positions: out = softmax(scale (q k^T + q position_k^T + k position_q^T)) v; He et al.,
 * arXiv:2006.03654. Of both tables a query and a key take the row that their distance names. */
typedef struct filbert_disentangled_args {
  filbert_attention_args attention; /* kv_heads = heads, not causal, without window and bias */
  filbert_heads position_k;         /* `heads` heads of the rows of a table, or x null: no such term */
  filbert_heads position_q;         /* the same */
  const filbert_weight* rows;       /* [2 reach + 1] integers, none below the one before it, by the key's column minus
                                       the query's, clipped */
  size_t reach;
} filbert_disentangled_args;

/* What a convolution over columns multiplies: out[t] = the rows of x at columns from `reach` before that of t to
 * `reach` after it, side by side. Zeros stand for what is no key of the sequence. */
typedef struct filbert_neighbours_args {
  const filbert_batch* batch;
  const void* x; /* [tokens, width] */
  size_t width;
  size_t reach;
  void* out; /* [tokens, (2 reach + 1) width]; of a token of no sequence nothing is written */
} filbert_neighbours_args;

/* A mixture of experts; Shazeer et al., arXiv:1701.06538. Of each row the top_k largest of p = softmax(x router^T)
 * count, of equal ones those that come first: out = the sum of p_e activation(x up_e^T) down_e^T over these e, in
 * ascending order, + bias + residual. Which ones they are is found in float32 whatever matrices are in. */
typedef struct filbert_experts_args {
  const void* x; /* [tokens, width] */
  size_t tokens;
  const filbert_weight* router;      /* a table [experts, width] */
  const filbert_weight* const* up;   /* [experts] matrices [inner, width] */
  const filbert_weight* const* down; /* [experts] matrices [width, inner] */
  const filbert_weight* bias;        /* [width] */
  const void* residual;              /* [tokens, width]; may be x */
  size_t experts;
  size_t top_k;
  filbert_activation activation;
  void* memory; /* as many bytes as experts_memory() says, aligned to 64; they are overwritten */
  void* out;    /* [tokens, width] */
} filbert_experts_args;

/* out[i] = x[rows[i]] */
typedef struct filbert_gather_args {
  const void* x;       /* [tokens, width] */
  const int32_t* rows; /* [count] */
  size_t count;
  size_t width;
  void* out; /* [count, width] */
} filbert_gather_args;

/* One row a sequence; of an empty one nothing is written. normalize: v / max(|v|, 1e-12). */
typedef struct filbert_pool_args {
  const filbert_batch* batch;
  const void* x; /* [tokens, width] */
  size_t width;
  filbert_pooling pooling;
  int normalize;
  void* out; /* [sequences, width] */
} filbert_pool_args;

/* out[rows[t]] = x[t]; of a negative row nothing is written. */
typedef struct filbert_scatter_args {
  const void* x;       /* [count, width] */
  const int64_t* rows; /* [count] */
  size_t count;
  size_t width;
  float* out; /* in device memory */
} filbert_scatter_args;

typedef struct filbert_device_description {
  char name[128]; /* the processor */
  char isa[32];   /* the instruction set in use */
  char isas[128]; /* all that can be forced here, comma-separated, best first */
  char note[128]; /* what a user should know of the dtype in use, or empty */
  int threads;
  size_t tokens_per_pass;  /* how many a forward should take at a time */
  size_t tokens_to_record; /* forwards of at most so many should be recorded; 0: it has no recordings */
  size_t query_tile;       /* how many queries a tile of filbert_batch has; 0: it reads no tiles */
  size_t activation_bytes; /* of one number of an activation */
  int activations_on_host; /* they are float32 in host memory */
} filbert_device_description;

typedef struct filbert_backend {
  uint32_t abi; /* FILBERT_BACKEND_ABI */
  const char* name;

  /* What describe() would say of a device's name, isa, isas, note (for the dtype that has one) and default threads,
   * without opening it. FILBERT_UNAVAILABLE: there is no such device that could be used; FILBERT_FAILED: there may be
   * one, but for a fault. */
  filbert_status (*probe)(int device_index, filbert_device_description* out);
  /* threads: 0 for the backend's default. dtype: what matrix products multiply. */
  filbert_status (*open)(int device_index, int threads, filbert_dtype dtype, filbert_context** out);
  void (*close)(filbert_context*);
  void (*describe)(filbert_context*, filbert_device_description* out);
  const char* (*error_message)(void); /* of the calling thread's last failure */

  filbert_status (*alloc)(filbert_context*, size_t bytes, void** out); /* aligned to 64 bytes */
  void (*free)(filbert_context*, void*);
  /* The host's memory may be reused when it returns. */
  filbert_status (*upload)(filbert_context*, void* device, const void* host, size_t bytes);
  /* What ops give as float32. */
  filbert_status (*download)(filbert_context*, float* host, const float* device, size_t count);
  /* Null if activations are on the host. read: float32 of the first numbers of an activation. */
  filbert_status (*read)(filbert_context*, float* host, const void* activation, size_t count);
  filbert_status (*scatter)(filbert_context*, const filbert_scatter_args*);
  filbert_status (*sync)(filbert_context*);

  /* Null, these seven, if activations are on the host. Mapped memory is the host's, and the device sees it, too. What
   * fetch and give read or write there is the device's until a mark after them is waited for. */
  filbert_status (*alloc_mapped)(filbert_context*, size_t bytes, void** out); /* aligned to 64 bytes */
  void (*free_mapped)(filbert_context*, void*);
  filbert_status (*fetch)(filbert_context*, void* device, const void* mapped, size_t bytes);
  filbert_status (*give)(filbert_context*, float* mapped, const void* activation, size_t count); /* as read does */
  /* A mark stands behind all that was asked of the context before it was made, or set again (of *mark not null). */
  filbert_status (*mark)(filbert_context*, filbert_mark** mark);
  filbert_status (*wait)(filbert_context*, filbert_mark*);
  void (*free_mark)(filbert_context*, filbert_mark*);

  /* Parts are joined along their rows. The sources must outlive a TABLE. input_norm may be null. */
  filbert_status (*load_weight)(filbert_context*, filbert_weight_kind, const filbert_host_tensor* parts, size_t count,
                                const filbert_input_norm* input_norm, filbert_weight** out);
  void (*free_weight)(filbert_context*, filbert_weight*);

  /* The ops in turn, each on all tokens; a backend may take a few tokens through all of them before the next. */
  filbert_status (*token_ops)(filbert_context*, const filbert_token_op*, size_t count, size_t tokens);
  filbert_status (*attention)(filbert_context*, const filbert_attention_args*);
  filbert_status (*disentangled_attention)(filbert_context*, const filbert_disentangled_args*);
  filbert_status (*neighbours)(filbert_context*, const filbert_neighbours_args*);
  /* Of as many tokens or fewer: x, residual, memory and out are not looked at. */
  size_t (*experts_memory)(filbert_context*, const filbert_experts_args*);
  filbert_status (*experts)(filbert_context*, const filbert_experts_args*);
  filbert_status (*gather)(filbert_context*, const filbert_gather_args*);
  filbert_status (*pool)(filbert_context*, const filbert_pool_args*);

  /* A recording: what ops between begin and end would do is not done but kept, to be done by each replay, on the same
   * memory. Of one thread at a time: others wait at their next op. record_end comes in any case; it gives no recording
   * and the status of the failure if an op failed. Null if tokens_to_record is 0. */
  filbert_status (*record_begin)(filbert_context*);
  filbert_status (*record_end)(filbert_context*, filbert_recording** out);
  filbert_status (*replay)(filbert_context*, filbert_recording*);
  void (*free_recording)(filbert_context*, filbert_recording*);
} filbert_backend;

#ifdef __cplusplus
}
#endif

#endif
