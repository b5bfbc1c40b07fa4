#!/usr/bin/env bash
# Install the system that mltk succeeds, at its best, into an environment of its own: benchmarks/install_reference.sh FOLDER
#
# TensorFlow 2.15.1 with the Keras inside it. What pip resolves today (2.16 with tf_keras) rewrites Keras' own code in every
# process and is up to twice as slow. click is missing from the package's requirements. Needs Python 3.9 to 3.11.
set -euo pipefail
folder=${1:?"usage: $0 FOLDER"}
"${PYTHON:-python3.11}" -m venv "$folder"
pip=("$folder/bin/python" -m pip --disable-pip-version-check)
# setuptools 81 has no pkg_resources, which packages of that time import.
"${pip[@]}" install --quiet "setuptools<81" wheel
"${pip[@]}" install --quiet "silabs-mltk==0.20.0" "tensorflow==2.15.1" click
# Required by the package and not wanted: see above.
"${pip[@]}" uninstall --quiet --yes tf_keras
echo "Installed. Run it with TF_USE_LEGACY_KERAS=0: $folder/bin/mltk --help"
