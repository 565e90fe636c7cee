//! Structs whose fields are metrics and whose doc comments are their help texts.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// One value for each set of labels.
#[derive(Debug)]
pub(super) struct Family<L, M>(pub(super) Vec<(L, M)>);

impl<L: EncodeLabelSet, M: EncodeMetric + TypedMetric> EncodeMetric for Family<L, M> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (labels, metric) in &self.0 {
            metric.encode(encoder.encode_family(labels)?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        M::TYPE
    }
}

/// Declares a struct of metrics and how it is encoded. A field is
/// `/// help` `name: type = "metric name"`, and `, Unit` where there is one. By the rules of
/// OpenMetrics the encoder adds the unit to the name, and `_total` to that of a counter.
macro_rules! families {
    (
        $(#[doc = $about:literal])+
        $name:ident {
            $( $(#[doc = $help:literal])+ $field:ident: $kind:ty = $metric:literal $(, $unit:ident)?; )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug)]
        pub(super) struct $name {
            $( $(#[doc = $help])+ $field: $kind, )+
        }

        impl $name {
            /// Writes every metric with its description.
            pub(super) fn encode(
                &self,
                encoder: &mut prometheus_client::encoding::DescriptorEncoder<'_>,
            ) -> std::fmt::Result {
                use prometheus_client::encoding::EncodeMetric;
                $(
                    #[allow(unused_mut, unused_assignments)]
                    let mut unit: Option<prometheus_client::registry::Unit> = None;
                    $( unit = Some(prometheus_client::registry::Unit::$unit); )?
                    let metric = encoder.encode_descriptor(
                        $metric,
                        concat!($($help),+).trim(),
                        unit.as_ref(),
                        self.$field.metric_type(),
                    )?;
                    self.$field.encode(metric)?;
                )+
                Ok(())
            }
        }
    };
}
pub(super) use families;
