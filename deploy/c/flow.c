/* Scores and draws images with an exported flow: TensorFlow's C API, and no Python.
 *
 *   flow MODEL log_prob HEIGHT WIDTH CHANNELS < IMAGES     a line for each image: nats, bits per dimension
 *   flow MODEL sample COUNT SEED SEED TEMPERATURE > IMAGES
 *   flow MODEL sample_rows TEMPERATURE SEED SEED [SEED SEED ...] > IMAGES
 *
 * MODEL is a version's folder, such as saved_models/mnist_0_8/1. IMAGES are bytes, one for each number of an
 * image, images one after the other. The exit status is 0, 1 if TensorFlow refuses, or 2 for wrong arguments.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tensorflow/c/c_api.h>

enum { MOST_INPUTS = 3, MOST_OUTPUTS = 2, NAME_SIZE = 256 };

typedef struct {
  TF_Graph *graph;
  TF_Session *session;
  TF_Buffer *description; /* a MetaGraphDef */
} Model;

typedef struct {
  const char *name;
  TF_Tensor *tensor;
} Named;

static void fail(const char *what) {
  fprintf(stderr, "%s\n", what);
  exit(1);
}

static void check(const TF_Status *status) {
  if (TF_GetCode(status) != TF_OK) fail(TF_Message(status));
}

/* Names of tensors. The description is a protocol buffer; these are the few fields of it that are needed. */

enum { META_GRAPH_SIGNATURES = 5, SIGNATURE_INPUTS = 1, SIGNATURE_OUTPUTS = 2, TENSOR_NAME = 1 };
enum { ENTRY_KEY = 1, ENTRY_VALUE = 2 };

typedef struct {
  const uint8_t *data, *end;
} Bytes;

static uint64_t read_varint(Bytes *message) {
  uint64_t value = 0;
  for (int shift = 0; message->data < message->end && shift < 64; shift += 7) {
    uint8_t byte = *message->data++;
    value |= (uint64_t)(byte & 127) << shift;
    if (byte < 128) return value;
  }
  fail("the model's description is damaged");
  return 0;
}

/* Reads the next field of a message; what is not a message or text has no content. */
static int next_field(Bytes *message, Bytes *content) {
  if (message->data >= message->end) return 0;
  uint64_t tag = read_varint(message);
  uint64_t size = 0;
  switch (tag & 7) {
    case 0: read_varint(message); break;
    case 1: size = 8; break;
    case 2: size = read_varint(message); break;
    case 5: size = 4; break;
    default: fail("the model's description is damaged");
  }
  if (size > (uint64_t)(message->end - message->data)) fail("the model's description is damaged");
  *content = (Bytes){message->data, message->data + size};
  message->data += size;
  return (int)(tag >> 3);
}

/* The value of a key in a map that is a field of a message. */
static Bytes look_up(Bytes message, int map, const char *key) {
  Bytes entry, part;
  for (int field; (field = next_field(&message, &entry));) {
    if (field != map) continue;
    Bytes value = {0};
    int found = 0;
    for (int inner; (inner = next_field(&entry, &part));) {
      size_t size = (size_t)(part.end - part.data);
      if (inner == ENTRY_KEY) found = size == strlen(key) && !memcmp(part.data, key, size);
      if (inner == ENTRY_VALUE) value = part;
    }
    if (found) return value;
  }
  fprintf(stderr, "the model knows no %s\n", key);
  exit(1);
}

/* A tensor of the graph, by what a signature calls it. */
static TF_Output find(const Model *model, const char *signature, int map, const char *key) {
  const uint8_t *data = model->description->data;
  Bytes description = {data, data + model->description->length};
  Bytes info = look_up(look_up(description, META_GRAPH_SIGNATURES, signature), map, key);
  Bytes text = {0}, part;
  for (int field; (field = next_field(&info, &part));)
    if (field == TENSOR_NAME) text = part;
  char name[NAME_SIZE];
  snprintf(name, sizeof name, "%.*s", (int)(text.end - text.data), (const char *)text.data);
  char *colon = strchr(name, ':');
  int index = colon ? atoi(colon + 1) : 0;
  if (colon) *colon = 0;
  TF_Output found = {TF_GraphOperationByName(model->graph, name), index};
  if (!found.oper) fail("the model's description does not fit its graph");
  return found;
}

static Model load(const char *folder) {
  const char *tags[] = {"serve"};
  Model model = {TF_NewGraph(), NULL, TF_NewBuffer()};
  TF_Status *status = TF_NewStatus();
  TF_SessionOptions *options = TF_NewSessionOptions();
  model.session = TF_LoadSessionFromSavedModel(options, NULL, folder, tags, 1, model.graph,
                                               model.description, status);
  check(status);
  TF_DeleteSessionOptions(options);
  TF_DeleteStatus(status);
  return model;
}

/* Runs a signature; both lists end with a name of NULL. */
static void run(const Model *model, const char *signature, const Named *inputs, Named *outputs) {
  TF_Output fed[MOST_INPUTS], fetched[MOST_OUTPUTS];
  TF_Tensor *values[MOST_INPUTS], *results[MOST_OUTPUTS] = {NULL};
  int inputs_count = 0, outputs_count = 0;
  for (; inputs[inputs_count].name; inputs_count++) {
    fed[inputs_count] = find(model, signature, SIGNATURE_INPUTS, inputs[inputs_count].name);
    values[inputs_count] = inputs[inputs_count].tensor;
  }
  for (; outputs[outputs_count].name; outputs_count++)
    fetched[outputs_count] = find(model, signature, SIGNATURE_OUTPUTS, outputs[outputs_count].name);
  TF_Status *status = TF_NewStatus();
  TF_SessionRun(model->session, NULL, fed, values, inputs_count, fetched, results, outputs_count, NULL,
                0, NULL, status);
  check(status);
  TF_DeleteStatus(status);
  for (int i = 0; i < outputs_count; i++) outputs[i].tensor = results[i];
}

static TF_Tensor *tensor(TF_DataType type, int rank, const int64_t *shape, const void *data) {
  size_t size = TF_DataTypeSize(type);
  for (int i = 0; i < rank; i++) size *= (size_t)shape[i];
  TF_Tensor *made = TF_AllocateTensor(type, shape, rank, size);
  if (size) memcpy(TF_TensorData(made), data, size);
  return made;
}

static void write_images(const Named *outputs) {
  TF_Tensor *images = outputs[0].tensor;
  fwrite(TF_TensorData(images), 1, TF_TensorByteSize(images), stdout);
}

static void log_prob(const Model *model, char **arguments) {
  int64_t shape[4] = {0, atoll(arguments[0]), atoll(arguments[1]), atoll(arguments[2])};
  size_t image_size = (size_t)(shape[1] * shape[2] * shape[3]), room = 1 << 16, size = 0;
  uint8_t *images = malloc(room);
  for (size_t got; (got = fread(images + size, 1, room - size, stdin));)
    if ((size += got) == room) images = realloc(images, room *= 2);
  if (!image_size || size % image_size) fail("the input is not a whole number of images of that shape");
  shape[0] = (int64_t)(size / image_size);
  Named inputs[] = {{"images", tensor(TF_UINT8, 4, shape, images)}, {0}};
  Named outputs[] = {{"log_prob", 0}, {"bits_per_dim", 0}, {0}};
  run(model, "log_prob", inputs, outputs);
  const float *nats = TF_TensorData(outputs[0].tensor), *bits = TF_TensorData(outputs[1].tensor);
  for (int64_t i = 0; i < shape[0]; i++) printf("%.9g %.9g\n", nats[i], bits[i]);
  free(images);
}

static void sample(const Model *model, char **arguments) {
  int32_t count = (int32_t)atol(arguments[0]);
  int32_t seed[2] = {(int32_t)atol(arguments[1]), (int32_t)atol(arguments[2])};
  float temperature = strtof(arguments[3], NULL);
  int64_t two[] = {2};
  Named inputs[] = {{"num_samples", tensor(TF_INT32, 0, NULL, &count)},
                    {"seed", tensor(TF_INT32, 1, two, seed)},
                    {"temperature", tensor(TF_FLOAT, 0, NULL, &temperature)},
                    {0}};
  Named outputs[] = {{"images", 0}, {0}};
  run(model, "sample", inputs, outputs);
  write_images(outputs);
}

static void sample_rows(const Model *model, char **arguments, int count) {
  int64_t shape[] = {(count - 1) / 2, 2};
  int32_t *seeds = calloc((size_t)count, sizeof *seeds);
  float *temperatures = calloc((size_t)count, sizeof *temperatures);
  for (int64_t i = 0; i < 2 * shape[0]; i++) seeds[i] = (int32_t)atol(arguments[1 + i]);
  for (int64_t i = 0; i < shape[0]; i++) temperatures[i] = strtof(arguments[0], NULL);
  Named inputs[] = {{"seed", tensor(TF_INT32, 2, shape, seeds)},
                    {"temperature", tensor(TF_FLOAT, 1, shape, temperatures)},
                    {0}};
  Named outputs[] = {{"images", 0}, {0}};
  run(model, "sample_rows", inputs, outputs);
  write_images(outputs);
  free(seeds);
  free(temperatures);
}

int main(int count, char **arguments) {
  const char *job = count > 2 ? arguments[2] : "";
  int is_log_prob = !strcmp(job, "log_prob") && count == 6;
  int is_sample = !strcmp(job, "sample") && count == 7;
  int is_sample_rows = !strcmp(job, "sample_rows") && count >= 6 && count % 2 == 0;
  if (!is_log_prob && !is_sample && !is_sample_rows) {
    fprintf(stderr,
            "flow MODEL log_prob HEIGHT WIDTH CHANNELS < IMAGES\n"
            "flow MODEL sample COUNT SEED SEED TEMPERATURE > IMAGES\n"
            "flow MODEL sample_rows TEMPERATURE SEED SEED [SEED SEED ...] > IMAGES\n");
    return 2;
  }
  Model model = load(arguments[1]);
  if (is_log_prob) log_prob(&model, arguments + 3);
  if (is_sample) sample(&model, arguments + 3);
  if (is_sample_rows) sample_rows(&model, arguments + 3, count - 3);
  return 0;
}
